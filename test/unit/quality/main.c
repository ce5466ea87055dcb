/* main.c: the unit tests of quality/. */
#include "suite.h"

int main(void)
{
	return run_automaton_tests() + run_datefmt_tests() + run_gate_tests() + run_docs_tests();
}
