#!/usr/bin/env python3
"""Print src/record/pow5_table.h (before clang-format): 128-bit powers of five for Eisel-Lemire (D. Lemire, "Number
parsing at a gigabyte per second", Software: Practice and Experience 51, 2021, section 5): truncated for q >= 0,
reciprocals rounded up."""

MIN, MAX = -342, 308


def entry(q):
    if q >= 0:
        c = 5**q
        while c < 1 << 127:
            c *= 2
        while c >= 1 << 128:
            c //= 2
        return c
    p = 5**-q
    z = (p - 1).bit_length()
    b = z + 127 if q >= -27 else 2 * z + 128
    c = 2**b // p + 1
    while c >= 1 << 128:
        c //= 2
    return c


print("/* pow5_table.h: made by tools/pow5_table.py; high and low 64 bits of 5^q, normalised, q = %d..%d. */" % (MIN, MAX))
print("#ifndef RECORD_POW5_TABLE_H\n#define RECORD_POW5_TABLE_H\n\n#include <stdint.h>\n")
print("#define POW5_MIN (%d)\n#define POW5_MAX %d\n" % (MIN, MAX))
print("static const uint64_t pow5_table[POW5_MAX - POW5_MIN + 1][2] = {")
rows = ["{0x%016x, 0x%016x}" % (entry(q) >> 64, entry(q) & (2**64 - 1)) for q in range(MIN, MAX + 1)]
for i in range(0, len(rows), 2):
    print("\t" + ", ".join(rows[i : i + 2]) + ",")
print("};\n\n#endif")
