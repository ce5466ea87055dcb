/* suite.h: what main.c runs. */
#ifndef TEST_QUALITY_SUITE_H
#define TEST_QUALITY_SUITE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

int run_automaton_tests(void);
int run_datefmt_tests(void);
int run_gate_tests(void);
int run_docs_tests(void);

#endif
