#!/usr/bin/env python3
"""Turns sql/*.sql and migrations/*.sql into C tables.

    embed.py OUT.h OUT.c FILE.sql...
    embed.py --migrations NAME OUT.h OUT.c FILE.sql...    only a table of migrations, of this name

A statement's head is described in op.h, a migration's in migrations/README.md; it is a file NNNN_name.up.sql or
.down.sql; citus.sql and grants.sql follow each `migrate up`.  A head that does not say everything fails the build.
"""
import hashlib
import pathlib
import re
import sys
import zlib

TYPES = {t: 'VALUE_' + t.upper() for t in ('int8', 'int4', 'int2', 'bool', 'text', 'bytea', 'uuid', 'timestamptz')}

PARAMS_MAX = 24  # OP_PARAMS_MAX
APART_MAX = 4  # STATEMENT_APART_MAX


def refuse(path, why):
    sys.exit(f'{path}: {why}')


def c_string(text):
    return '\n'.join('\t"' + line.replace('\\', '\\\\').replace('"', '\\"') + '\\n"' for line in text.splitlines())


def head_of(path, text):
    """The `-- key: value` lines of the head; a value may go on in lines that begin with `--   `."""
    head, key = {}, None
    for line in text.splitlines():
        if not line.startswith('--'):
            break
        match = re.match(r'-- (lane|form|thread|apart|params|columns|also):\s*(.*)$', line)
        if match:
            key = match[1]
            if key in head:
                refuse(path, f'its head has "-- {key}:" twice')
            head[key] = match[2]
        elif key and re.match(r'--\s{2,}\S', line):
            head[key] += ' ' + line[2:].strip()
        else:
            key = None
    head = {key: re.sub(r'\s*\([^()]*\)', '', value) for key, value in head.items()}
    for key in ('lane', 'form', 'params', 'columns'):
        if key not in head:
            refuse(path, f'its head has no "-- {key}:"')
    return head


def values(path, text):
    found = []
    for item in filter(None, (i.strip() for i in text.split(','))):
        parts = item.split()
        if len(parts) != 2 or parts[1] not in TYPES:
            refuse(path, f'"{item}" is not a name and one of {", ".join(TYPES)}')
        if parts[0] in (name for name, _ in found):
            refuse(path, f'"{parts[0]}" is there twice')
        found.append((parts[0], TYPES[parts[1]]))
    if len(found) > PARAMS_MAX:
        refuse(path, f'more than {PARAMS_MAX} params or columns')
    return found


def position(path, params, name):
    names = [n for n, _ in params]
    if name not in names:
        refuse(path, f'"{name}" is none of its params')
    return names.index(name)


def order(path, head, params):
    """What order.c goes by: the param that names the thread, and those in which operations must differ."""
    if head['form'] != 'set' and ('thread' in head or 'apart' in head):
        refuse(path, 'only a set has "-- thread:" or "-- apart:"')
    thread = position(path, params, head['thread']) if 'thread' in head else -1
    apart = [name.strip() for name in head.get('apart', '').split(',') if name.strip()]
    if len(apart) > APART_MAX:
        refuse(path, f'more than {APART_MAX} in "-- apart:"')
    kinds = ', '.join(f'{{ {position(path, params, name)}, {zlib.crc32(name.encode())}u }}' for name in apart)
    return f'\t.thread = {thread},\n\t.apart = {{ {kinds or "{ 0 }"} }},\n\t.n_apart = {len(apart)},\n'


def events(path, head, columns):
    """What lane.c tells of a write that was committed: see op.h."""
    names = [n for n, _ in columns] if head['lane'] == 'write' else []
    return ''.join(f'\t.{n} = {names.index(n) if n in names else -1},\n' for n in ('event_number', 'opens_thread_of'))


def statements(path):
    """Name, head and body of a file's statement, and of the one it is also: without the lines of a part of it."""
    text = path.read_text()
    head = head_of(path, text)
    also = head.pop('also', None)
    found = [(path.stem, head, text)]
    if also:
        match = re.fullmatch(r'(\w+) without (\w+)', also)
        if not match:
            refuse(path, '"-- also:" is of the form NAME without PART')
        part = re.compile(rf'^-- {match[2]}: begin\n.*?^-- {match[2]}: end\n', re.M | re.S)
        if not part.search(text):
            refuse(path, f'it has no "-- {match[2]}: begin" and "-- {match[2]}: end"')
        found.append((match[1], dict(head), part.sub('', text)))
    return [(name, head, path, '\n'.join(l for l in text.splitlines() if not l.startswith('--')).strip().rstrip(';'))
            for name, head, text in found]


def statement(name, head, path, body, index):
    if head['lane'] not in ('read', 'replica', 'write') or head['form'] not in ('set', 'single'):
        refuse(path, 'lane is read, replica or write, form is set or single')
    if head['lane'] == 'replica' and not head['params'].startswith('page_id int8'):
        refuse(path, 'what a replica answers is of a page, its first param')
    out, params, columns = [], values(path, head['params']), values(path, head['columns'])
    for what in ('params', 'columns'):
        rows = values(path, head[what])
        if rows:
            out.append(f'static const struct value_def {name}_{what}[] = {{\n'
                       + ''.join(f'\t{{ "{n}", {t} }},\n' for n, t in rows) + '};\n')
        head[what] = (f'{name}_{what}', len(rows)) if rows else ('NULL', 0)
    out.append(f'const struct statement sql_{name} = {{\n\t.name = "{name}",\n\t.sql =\n{c_string(body)},\n'
               f'\t.lane = LANE_{head["lane"].upper()},\n\t.form = FORM_{head["form"].upper()},\n'
               f'\t.params = {head["params"][0]},\n\t.n_params = {head["params"][1]},\n'
               f'\t.columns = {head["columns"][0]},\n\t.n_columns = {head["columns"][1]},\n'
               + order(path, head, params) + events(path, head, columns) + f'\t.index = {index},\n}};\n')
    return '\n'.join(out)


# What may be outside of a transaction: what blocks no writer, and can be done again when it was done before or half.
REPEATABLE = re.compile(r'CREATE (UNIQUE )?INDEX CONCURRENTLY IF NOT EXISTS (?P<index>[a-z_][a-z0-9_]{0,62}) ON '
                        r'|DROP INDEX CONCURRENTLY IF EXISTS |ALTER TABLE \S+ VALIDATE CONSTRAINT ')


def steps(path, text):
    """A migration's script: in one step, or outside of a transaction a statement each, which end a line with a semicolon."""
    match = re.search(r'^-- transaction: (\S+)$', text, re.M)
    if match and match[1] != 'none':
        refuse(path, '"-- transaction:" is none, or is not there')
    if not match:
        return 'true', [(text, None)]
    body = '\n'.join(l for l in text.splitlines() if not l.startswith('--'))
    found = [s.strip() for s in re.split(r';[ \t]*(?:\n|$)', body) if s.strip()]
    for one in found:
        if ';' in one or not REPEATABLE.match(' '.join(one.split())):
            refuse(path, f'outside of a transaction only what can be repeated: not "{one.splitlines()[0]}"')
    return 'false', [(one, REPEATABLE.match(' '.join(one.split()))['index']) for one in found]


def script(name, path):
    transaction, found = steps(path, path.read_text())
    quoted = ''.join(f'\t{{\n{c_string(sql)},\n\t{c_quoted(index)} }},\n' for sql, index in found)
    return f'static const struct script_step {name}[] = {{\n{quoted}}};\n', f'{{ {transaction}, {name}, {len(found)} }}'


def c_quoted(word):
    return f'"{word}"' if word else 'NULL'


def servers(path, number):
    """Which servers go on with it: those that know this version, by default its own."""
    match = re.search(r'^-- servers: (.*)$', path.read_text(), re.M)
    if match and not (match[1].isdigit() and 0 < int(match[1]) <= number):
        refuse(path, f'"-- servers:" is a version from 1 to {number}')
    return int(match[1]) if match else number


def migration(table, number, up):
    match = re.match(r'(\d{4})_(\w+)\.up\.sql$', up.name)
    if not match:
        refuse(up, 'a migration is named NNNN_name.up.sql')
    if int(match[1]) != number:
        refuse(up, f'migration {number} is missing')
    down = up.with_name(up.name.replace('.up.', '.down.'))
    if not down.exists():
        refuse(up, f'{down.name} is missing')
    digest = hashlib.sha256(up.read_bytes()).hexdigest()
    up_steps, up_script = script(f'{table}_{number}_up', up)
    down_steps, down_script = script(f'{table}_{number}_down', down)
    return up_steps + down_steps, (f'\t{{ {number}, {servers(up, number)}, "{match[2]}", "{digest}",\n'
                                   f'\t\t{up_script}, {down_script} }},\n')


def migrations(table, paths):
    ups = [p for p in paths if p.name.endswith('.up.sql')]
    citus, grants = (next(p.read_text() for p in paths if p.name == name) for name in ('citus.sql', 'grants.sql'))
    made = [migration(table, n, up) for n, up in enumerate(ups, 1)]
    return (''.join(s for s, _ in made) + f'\nstatic const struct migration {table}_list[] = {{\n' + ''.join(m for _, m in made)
            + f'}};\n\nstatic const char {table}_citus[] =\n{c_string(citus)};\n'
            f'\nstatic const char {table}_grants[] =\n{c_string(grants)};\n'
            f'\nconst struct migrations {table} = {{ {table}_list, {len(ups)}, {table}_citus, {table}_grants }};\n')


def main(*args):
    table = args[1] if args[0] == '--migrations' else None
    out_h, out_c, *files = args[2:] if table else args
    paths = sorted(map(pathlib.Path, files), key=lambda p: p.name)
    sqls = [] if table else [s for p in paths if p.parent.name == 'sql' for s in statements(p)]
    table = table or 'sql_migrations'
    pathlib.Path(out_h).write_text(
        '/* Generated by embed.py.  Do not edit. */\n#pragma once\n\n#include "store/statement.h"\n\nstruct migrations; /* store/migrate.h */\n'
        + ''.join(f'extern const struct statement sql_{name};\n' for name, *_ in sqls)
        + (f'\n#define SQL_STATEMENTS {len(sqls)}\nextern const struct statement *const sql_statements[];\n' if sqls else '')
        + f'extern const struct migrations {table};\n')
    pathlib.Path(out_c).write_text(
        f'/* Generated by embed.py.  Do not edit. */\n#include "{pathlib.Path(out_h).name}"\n\n#include "store/migrate.h"\n\n'
        '#pragma GCC diagnostic ignored "-Woverlength-strings"\n\n'
        + '\n'.join(statement(*s, i) for i, s in enumerate(sqls))
        + ('\nconst struct statement *const sql_statements[] = {\n'
           + ''.join(f'\t&sql_{name},\n' for name, *_ in sqls) + '\tNULL,\n};\n\n' if sqls else '')
        + migrations(table, paths))


main(*sys.argv[1:])
