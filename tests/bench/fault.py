"""Servers and PostgreSQL killed under load, and what callers and watchers saw beside the database: tests/fault."""
import os
import pathlib
import random
import subprocess
import sys

from measure import BUILD, CASES, QUICK, fact, figures, say

CASES |= {'fault_violations': ('violations', None)}

ROUNDS = 4 if QUICK else 50
SQL = pathlib.Path(__file__).parent.parent / 'fault/check.sql'


def fault(_):
    seed = random.randrange(1 << 31)
    say(f'fault: {ROUNDS} rounds, seed {seed}')
    env = os.environ | {'ASIDE_SERVER_PROGRAM': str(BUILD / 'server/aside-server'), 'ASIDE_CHECK_SQL': str(SQL)}
    ran = subprocess.run([BUILD / 'tests/fault/test_rounds', str(ROUNDS), str(seed)], env=env, stdout=subprocess.PIPE, text=True)
    got = figures(ran.stdout)
    for name, unit in {'answered': 'calls', 'unknown': 'attempts', 'violations': 'violations'}.items():
        if name in got:
            fact(f'fault_{name}', got[name], unit)
    if ran.returncode:
        sys.exit(f'{ran.stdout}\nthe fault rounds with seed {seed} have failed')


GROUPS = {'fault': fault}
