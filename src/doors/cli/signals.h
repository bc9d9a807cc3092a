/* Signals of the process, for main() alone; commands ask cli_interrupted(). */
#ifndef CLI_SIGNALS_H
#define CLI_SIGNALS_H

/* SIGINT and SIGTERM set the flag of cli_interrupted() once and end the program the second time; SIGPIPE is ignored. */
void cli_signals_init(void);

#endif
