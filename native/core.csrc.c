#include "imgcore.h"
