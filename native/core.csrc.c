#include "imgcore.h"
#include "scan.h"
