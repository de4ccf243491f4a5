#include "imgcore.h"
#include "rows.h"
#include "scan.h"
#include "unpack.h"
