/* aside token: mints a token for development. */
#pragma once

/* The words from "token" on.  Prints the token; returns the exit status. */
int token_command(int argc, char **argv);
