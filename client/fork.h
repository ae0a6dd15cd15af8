/* Which process this is: a number that a fork changes in the child, for far less than getpid() costs. */
#pragma once

unsigned fork_generation(void);
