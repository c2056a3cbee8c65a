PYTHON := python3
AWK := awk
FLEX := flex
BISON := bison
FILE_OFFSET_BITS := 64
