#include "imgcore.h"
#include "scan.h"
#include "unpack.h"
