/* utf8.c: see utf8.h. Table 3-7 of the Unicode standard ("Well-Formed UTF-8 Byte Sequences") as comparisons. */
#include "record/utf8.h"

#include <stdint.h>
#include <string.h>

static bool is_tail(unsigned char c)
{
	return (c & 0xc0) == 0x80;
}

unsigned utf8_step(const char *p, size_t n)
{
	const unsigned char *s = (const unsigned char *)p;
	if (s[0] < 0x80)
		return 1;
	if (s[0] >= 0xc2 && s[0] <= 0xdf)
		return n >= 2 && is_tail(s[1]) ? 2 : 0;
	if (s[0] >= 0xe0 && s[0] <= 0xef) {
		unsigned char lo = s[0] == 0xe0 ? 0xa0 : 0x80, hi = s[0] == 0xed ? 0x9f : 0xbf;
		return n >= 3 && s[1] >= lo && s[1] <= hi && is_tail(s[2]) ? 3 : 0;
	}
	if (s[0] >= 0xf0 && s[0] <= 0xf4) {
		unsigned char lo = s[0] == 0xf0 ? 0x90 : 0x80, hi = s[0] == 0xf4 ? 0x8f : 0xbf;
		return n >= 4 && s[1] >= lo && s[1] <= hi && is_tail(s[2]) && is_tail(s[3]) ? 4 : 0;
	}
	return 0;
}

size_t utf8_valid_prefix(const char *p, size_t n)
{
	size_t i = 0;
	while (i < n) {
		uint64_t w;
		if (n - i >= 8) {
			memcpy(&w, p + i, 8);
			if (!(w & UINT64_C(0x8080808080808080))) {
				i += 8;
				continue;
			}
		}
		unsigned k = utf8_step(p + i, n - i);
		if (!k)
			return i;
		i += k;
	}
	return n;
}

size_t utf8_count(const char *p, size_t n)
{
	size_t chars = 0;
	for (size_t i = 0; i < n; chars++) {
		unsigned k = (unsigned char)p[i] < 0x80 ? 1 : utf8_step(p + i, n - i);
		i += k ? k : 1;
	}
	return chars;
}
