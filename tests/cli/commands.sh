#!/usr/bin/env bash
# The command as a user and a script meet it, against a real server.
#
#     with-server -- commands.sh BUILD
# shellcheck source=tests/cli/lib.sh
. "${0%/*}/lib.sh"

key() { head -c 16 /dev/urandom | base64; }
text() { printf '{"pageId": "1", "clientKey": "%s", "content": {"text": "%s"}}' "$(key)" "$1"; }

# ── wrong usage: exit status 2, one line, nothing called ──

refused 2 'usage: aside COMMAND'
refused 2 'no command dance' dance
refused 2 'no flag --colour, or several begin so; aside --help explains' --colour red list
refused 2 'no flag -h; aside --help explains' -h
refused 2 '--server needs a value; aside --help explains' call --server
refused 2 'it takes no value; aside --help explains' list --defaults=1
refused 2 'no number from 1 to 600000' --timeout abc list
refused 2 'no number from 1 to 600000' --timeout 0 list
refused 2 'no number from 1 to 600000' --timeout -5 list
refused 2 'no number from 1 to 600000' --timeout 600001 list
refused 2 'no number from 1 to 600000' --timeout 99999999999999999999 list
refused 2 'is no id' --as-user x list
refused 2 'is no id' --as-user 0 list
refused 2 'is no id' --as-user ' 7' list
refused 2 'is no id' --as-user '' list
refused 2 'is no id' --as-user 9223372036854775808 list
refused 2 'takes no --ttl' list --ttl 5
refused 2 'takes no --defaults' list --defaults
refused 2 'table or json' list --output yaml
refused 2 'usage: aside list' list everything
refused 2 'usage: aside call METHOD' call
refused 2 'usage: aside call METHOD' call A B C
refused 2 'none: No such file or directory' --token-file "$dir/none" list
refused 2 'null: it is empty' --token-file /dev/null list
refused 2 'BAD_ADDRESS' --server bogus threads
refused 2 'BAD_ADDRESS' --server tcp://127.0.0.1:1,, threads
refused 2 'BAD_CA_FILE: the CA file /nowhere' --server tls+tcp://127.0.0.1:1 --ca-file /nowhere threads
refused 2 'BAD_CA_FILE: the CA file /dev/null' --server tls+tcp://127.0.0.1:1 --ca-file /dev/null threads
for servers in '' ',' 'ipc:///a,'; do refused 2 'comma-separated' --server "$servers" health; done
refused 2 'BAD_ADDRESS' --server "$ASIDE_SERVER,bogus" health
refused 2 'both the token and the request' --token-file - call SendMessage -
refused 2 'no method Dance' call Dance
refused 2 'no service, method, message or enum Dance' describe Dance
ASIDE_SERVER='' refused 2 'where is the server' list

# ── bad requests ──

refused 2 'line 1, column 1:' call SendMessage '{'
refused 2 'the request: is no object' call SendMessage '[]'
refused 2 'pageid is no field of aside.v1.SendMessageRequest' call SendMessage '{"pageid": 1}'
refused 2 'content.text is no string' call SendMessage '{"content": {"text": 5}}'
refused 2 'NUL' call SendMessage '{"content": {"text": "a\u0000b"}}'
refused 2 'nothing is there' call SendMessage - </dev/null

# ── calls: the code is the exit status ──

refused 15 'NOT_FOUND PAGE_NOT_FOUND' --as-user 42 call SendMessage "$(text early)"
run call CreatePage '{"pageId": 1, "name": "Coke", "adminUserId": "7"}'
check 'a page is created' is_json '.page.name == "Coke" and .page.pageId == "1"'
refused 13 'client_key: must be' --as-user 42 call SendMessage '{"pageId": 1}'
run --as-user 42 call SendMessage "$(text 'Hello!')"
check 'a message is sent' is_json '.receipt.seq == 1'
check 'defaults are not written' is_json '.receipt | has("repeatedKey") | not'
run --as-user 42 call --defaults MessageService/SendMessage - <<<"$(text 'And again')"
check 'a request comes from standard input' is_json '.receipt.seq == 2'
check 'defaults are written on request' is_json '.receipt.repeatedKey == false'
run call /aside.v1.MessageService/ListMessages '{"pageId": "1", "userId": 42}' --as-user 42
check 'flags may come last' is_json '.messages | length == 2'
run --as-user 42 call ListMyThreads
check 'a request may be empty' is_json '.threads[0].pageName == "Coke"'
refused 15 'THREAD_NOT_FOUND' --as-user 99 call GetThread '{"pageId": 1, "userId": 42}'
refused 24 "ipc://$dir/nobody.sock: there is no such socket" --server "ipc://$dir/nobody.sock" --timeout 300 call ListMyThreads
refused 24 'tcp://127.0.0.1:1: nobody listens there' --server "tcp://127.0.0.1:1,ipc://$dir/nobody.sock" --timeout 300 threads
refused 24 'NOT_CONNECTED' --server tcp://127.0.0.1:1 top
refused 24 'dns:nowhere.invalid:1: the name is unknown' --server dns:nowhere.invalid:1 --timeout 300 list
refused 24 'the host is unknown' --server tcp://nowhere.invalid:1 --timeout 300 list

# ── what people read ──

run list
check 'list shows methods' says 'SendMessage               person'
check 'list shows comments' says 'A person writes to a page'
run list --output json
check 'list gives JSON' is_json '[.services[].name] | index("aside.v1.MessageService") != null'
run describe
check 'describe shows services' says 'aside.v1.ThreadService'
run describe ReplyAsPage
check 'describe shows the policy' says 'role       staff: at least moderator'
check 'describe shows callers' says 'callers    a person'
check 'describe shows the deadline' says 'deadline   10 s'
check 'describe shows fields by their JSON names' says 'expectedLastSeq           uint32          The last number the sender has seen'
check 'describe shows fields within fields' says '      linkUrl               string'
check 'describe shows an example' says 'aside --as-user 42 call MessageService/ReplyAsPage'
run describe RecordWallEntry
check 'describe shows the scope' says 'a service with the scope wall.write'
run describe aside.v1.Side
check 'describe shows values' says 'SIDE_PAGE              2  The page, through its staff.'
run describe WallEntry
check 'describe shows a message' says 'authorUserId'
run --as-user 43 threads
check 'who has no threads sees so' says 'PAGE  NAME'
run --as-user 42 threads
check 'threads are rows' says '   1  Coke'
run --as-user 7 inbox 1
check 'the inbox has its unread count' says '    42         2       2'
run --as-user 42 messages 1 42
check 'messages read downwards' [ "$(grep -n 'Hello!' <<<"$out" | cut -d: -f1)" = 2 ]
run --as-user 42 call SendMessage "$(text '\u001b[2J\n\u009b')"
run --as-user 42 messages 1 42
check 'control characters are not obeyed' [ "$(tr -cd '\033' <<<"$out" | wc -c)" = 0 ]
run --as-user 42 messages 1 42 --output json
check 'views give JSON' is_json '.messages[0].seq == 3'
refused 15 'PAGE_NOT_FOUND' --as-user 7 inbox 2
run health
check 'health is served' ends 0
check 'health is shown' says 'serving'
run --server "$ASIDE_SERVER,ipc://$dir/nobody.sock" --timeout 300 health
check 'one of two that is away is told' ends 1
check 'the other one is shown all the same' says 'unreachable'
printf '%s\n' "$ASIDE_SERVER" "ipc://$dir/nobody.sock" >"$dir/servers"
run --server "file:$dir/servers,dns:nowhere.invalid:1" --timeout 300 health --output json
check 'each server of a file and a name is asked' is_json 'map(.state) == ["serving", "unreachable", "unreachable"]'
check 'why one is unreachable is told' is_json '.[1].error == "NOT_CONNECTED: there is no such socket" and .[2].error == "the name is unknown"'
echo stale.or.none >"$dir/stale"
refused 26 'UNAUTHENTICATED' --token-file "$dir/stale" threads
run --token-file "$dir/stale" health
check 'health needs no credentials' ends 0
run --token-file "$dir/none" health
check 'nor looks at them' ends 0
run health --output json
check 'health gives JSON' is_json '.[0].state == "serving" and .[0].error == ""'

# ── watching: each item as it comes, until ctrl-C ──

watch() { # SIGNAL: watches the page while a message is sent, then sends the signal; leaves $status and $out
	coproc watcher { exec "$aside" --as-user 7 call WatchPage '{"pageId": 1}' 2>"$dir/err"; }
	local pid=$! first='' second=''
	exec 3<&"${watcher[0]}"
	read -rt 60 first <&3 || :
	"$aside" --as-user 42 call SendMessage "$(text watched)" >/dev/null
	read -rt 60 second <&3 || :
	kill "-$1" "$pid"
	status=0
	wait "$pid" || status=$?
	exec 3<&-
	out=$first$'\n'$second err=$(<"$dir/err")
}
for signal in INT TERM; do
	watch "$signal"
	check "a watch says where it begins" says '{"cursor":"'
	check "a message is seen as soon as it is sent" says '"text":"watched"'
	check "SIG$signal ends the watch well" ends 0
	check "and without a word" [ -z "$err" ]
done
refused 15 'PAGE_NOT_FOUND' --as-user 7 call WatchPage '{"pageId": 2}'

# ── what a server is doing ──

run top
check 'top ends by itself where there is no terminal' ends 0
check 'top shows the server' says 'serving, up 0 d'
check 'top shows methods' says '  MessageService/SendMessage'
check 'top shows sessions' says 'service test'
check 'top is plain there' [ "$(tr -cd '\033' <<<"$out" | wc -c)" = 0 ]
run top --output json
check 'top gives JSON' is_json '.load.calls >= 1 and (.methods | length > 3) and .sessionCount >= 1'
refused 17 'PERMISSION_DENIED CALLER_NOT_ALLOWED' --as-user 42 call GetServer
# On a terminal: drawn again and again, until a key; what it leaves behind is what it found.
status=0
if script -qfec true /dev/null >/dev/null 2>&1; then
	coproc terminal { exec script -qfec "stty -a >'$dir/before'; '$aside' top; echo left \$?; stty -a >'$dir/after'" "$dir/screen"; }
	exec 3<&"${terminal[0]}" 4>&"${terminal[1]}"
	pid=$! # the coprocess
	for ((drawn = 0; drawn < 3;)); do
		read -rt 60 line <&3 || break
		[[ "$line" != *'UNDER WAY'* ]] || drawn=$((drawn + 1))
	done
	check 'top draws again and again' [ "$drawn" = 3 ]
	printf q >&4
	cat <&3 >/dev/null
	exec 3<&- 4>&-
	wait "$pid" || status=$?
	out=$(<"$dir/screen") err=''
	check 'q leaves top' says 'left 0'
	check 'the shell has its screen back' says $'\e[?1049l'
	check 'the terminal is as it was' cmp -s "$dir/before" "$dir/after"
else
	cases=$((cases + 1))
	echo "ok $cases - top on a terminal # SKIP there are no pseudo-terminals here"
fi

# ── help ──

for command in list describe call threads inbox messages health top token; do
	run "$command" --help
	check "aside $command --help teaches" says "usage: aside $command"
	while read -r flag; do
		check "aside.1 knows $flag of $command" grep -q "^\.It Fl -${flag#--}\b" "$build/client/aside.1"
	done <<<"$(grep -o '^  --[a-z-]*' <<<"$out" | tr -d ' ')"
	check "aside.1 knows $command" grep -q "^\.It Cm $command\b" "$build/client/aside.1"
done
run help call
check 'aside help COMMAND is the same' says 'usage: aside call'
run --version
check 'the version is told' says 'aside 0.'
status=0
"$aside" list 2>"$dir/err" >/dev/full || status=$?
out='' err=$(<"$dir/err")
check 'a full disk is noticed' ends 1
check 'a full disk is named' warns 'standard output'
for words in --help --version 'help call' --help=mdoc; do
	status=0
	# shellcheck disable=SC2086 # words, each
	"$aside" $words 2>"$dir/err" >/dev/full || status=$?
	out='' err=$(<"$dir/err")
	check "a full disk is noticed by $words" ends 1
done

# ── completion, as bash does it ──

offers() { # WORD...: what bash would offer for the last one
	# shellcheck disable=SC2034 # bash's own names
	COMP_WORDS=(aside "$@") COMP_CWORD=$#
	PATH=$(dirname "$aside"):$PATH _aside
	out=${COMPREPLY[*]} err='' status=0
}
# shellcheck source=/dev/null
. "${0%/*}/../../client/cli/aside.bash"
offers ca
check 'commands are completed' [ "$out" = call ]
offers --as-user 42 call SendP
check 'methods are completed' [ "$out" = SendPrivateReply ]
offers call WatchPe
check 'what streams is completed, too' [ "$out" = WatchPerson ]
offers call MessageService/Can
check 'methods with their service, too' [ "$out" = MessageService/CanSend ]
offers describe aside.v1.Si
check 'full names as well' [ "$out" = aside.v1.Side ]
offers token --us
check 'flags are completed' [ "$out" = --user ]
offers list --output j
check 'values are completed' [ "$out" = json ]
offers --server "ipc://$dir/nobody.sock" call Send
check 'a server that is away offers nothing' [ -z "$out" ]

finish
