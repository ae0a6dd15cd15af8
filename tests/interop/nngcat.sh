#!/usr/bin/env bash
# Every unary method, called by tools that know nothing of aside: protoc and nngcat.
#
#   with-server -- nngcat.sh PROTO_SOURCE PROTOBUF_INCLUDE
set -euo pipefail
proto=(protoc "-I$1" "-I$2")
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
files=(aside/rpc/v1/{envelope,status,health,reflection}.proto aside/v1/{pages,wall,threads,messages,attachments,reason}.proto)

# The bytes of standard input as protobuf's text format writes them.
escaped() { od -An -v -to1 | tr -d '\n' | sed 's/ /\\/g'; }

# The reverse.
unescaped() { python3 -c 'import codecs, sys; sys.stdout.buffer.write(codecs.escape_decode(sys.stdin.read().rstrip("\n"))[0])'; }

# call USER METHOD [REQUEST] puts the response, or the status, on standard output as text.
call() {
	local user=$1 method=$2 request=${3-} type=${2#/} name=${2##*/} metadata=''
	type=${type%/*}
	type=${type%.*}
	[ "$user" = service ] || metadata="metadata { key: \"act-as-user\" value: \"$user\" }"
	printf 'frames { call_id: 1 call { method: "%s" payload: "%s" %s } }' "$method" \
		"$("${proto[@]}" --encode="$type.${name}Request" "${files[@]}" <<<"$request" | escaped)" "$metadata" |
		"${proto[@]}" --encode=aside.rpc.v1.Envelope "${files[@]}" >"$dir/request"
	nngcat --req --connect "$ASIDE_SERVER" --file "$dir/request" --raw >"$dir/reply"
	"${proto[@]}" --decode=aside.rpc.v1.Envelope "${files[@]}" <"$dir/reply" >"$dir/envelope"
	grep -q '^  call_id: 1$' "$dir/envelope"
	if grep -q '^    status {$' "$dir/envelope"; then
		cat "$dir/envelope"
	else
		sed -n 's/^    payload: "\(.*\)"$/\1/p' "$dir/envelope" | unescaped |
			"${proto[@]}" --decode="$type.${name}Response" "${files[@]}"
	fi
}

called=''
# expect PATTERN USER METHOD [REQUEST]
expect() {
	local pattern=$1 answer
	shift
	answer=$(call "$@")
	grep -q -- "$pattern" <<<"$answer" || { printf '%s: expected %s, got:\n%s\n' "$2" "$pattern" "$answer"; exit 1; }
	called+=$2$'\n'
}

key() { printf 'client_key: "0123456789abcde%s" content { text: "Hello!" }' "$1"; }
png='\211PNG\r\n\032\n\000\000\000\rIHDR\000\000\000\001\000\000\000\001\010\002\000\000\000\220wS\336'
# shellcheck disable=SC2059
sha=$(printf "$png" | sha256sum | cut -d' ' -f1 | sed 's/../\\x&/g')
photo='page_id: 1 attachment_id: "0123456789photo!"'
now=$(($(date +%s) * 1000000))

expect 'name: "Coke"' service /aside.v1.PageService/CreatePage 'page_id: 1 name: "Coke" admin_user_id: 7'
expect 'name: "Coke"' 42 /aside.v1.PageService/GetPage 'page_id: 1'
expect 'ROLE_MODERATOR' 7 /aside.v1.PageService/SetStaffRole 'page_id: 1 user_id: 8 role: ROLE_MODERATOR'
expect 'user_id: 8' 7 /aside.v1.PageService/ListStaff 'page_id: 1'
expect 'version: 2' 7 /aside.v1.PageSettingsService/UpdatePageSettings \
	'page_id: 1 settings { reply_budget: 9 } update_mask { paths: "reply_budget" } expected_version: 1'
expect 'reply_budget: 9' 7 /aside.v1.PageSettingsService/GetPageSettings 'page_id: 1'
expect 'version: 1' 7 /aside.v1.PageSettingsService/ListPageSettingsVersions 'page_id: 1'
expect 'available: true' 42 /aside.v1.PageSettingsService/GetMessagingAvailability 'page_id: 1 user_id: 42'
expect 'entry_id: 5' service /aside.v1.WallService/RecordWallEntry \
	"entry { page_id: 1 entry_id: 5 kind: WALL_ENTRY_KIND_POST author_user_id: 42 text: \"Hi\" posted_at_us: $now }"
expect 'text: "Hi"' 8 /aside.v1.WallService/ListWallEntries 'page_id: 1'
expect 'can_send: true' 42 /aside.v1.ThreadService/OpenThread 'page_id: 1'
expect 'seq: 1' 42 /aside.v1.MessageService/SendMessage "page_id: 1 $(key 1)"
expect 'seq: 2' 8 /aside.v1.MessageService/ReplyAsPage "page_id: 1 user_id: 42 $(key 2)"
expect 'allowed: true' 8 /aside.v1.MessageService/CanSend 'page_id: 1 side: SIDE_PAGE entry_id: 5'
expect 'seq: 3' 8 /aside.v1.MessageService/SendPrivateReply "page_id: 1 entry_id: 5 $(key 3)"
expect 'text: "Hello!"' 42 /aside.v1.MessageService/ListMessages 'page_id: 1 user_id: 42'
expect '^$' service /aside.v1.WallService/RemoveWallEntry 'page_id: 1 entry_id: 5'
expect 'last_seq: 3' 42 /aside.v1.ThreadService/GetThread 'page_id: 1 user_id: 42'
expect 'user_id: 42' 8 /aside.v1.ThreadService/ListPageThreads 'page_id: 1'
expect 'page_id: 1' 42 /aside.v1.ThreadService/ListMyThreads ''
expect 'read_seq: 3' 42 /aside.v1.ThreadService/MarkThread 'page_id: 1 user_id: 42 side: SIDE_PERSON read_seq: 3'
expect '^$' 42 /aside.v1.ThreadService/SetBlock 'page_id: 1 user_id: 42 side: SIDE_PERSON blocked: true'
expect 'threads_counted: 1' 7 /aside.v1.ThreadService/VerifyCounters 'page_id: 1'
expect 'chunk_count: 1' 42 /aside.v1.AttachmentService/BeginAttachment \
	"$photo side: SIDE_PERSON kind: ATTACHMENT_KIND_PHOTO size_bytes: 33 sha256: \"$sha\""
expect 'chunks_received: 1' 42 /aside.v1.AttachmentService/UploadChunk "$photo data: \"$png\""
expect 'media_type: "image/png"' 42 /aside.v1.AttachmentService/CompleteAttachment "$photo"
expect 'PNG' 42 /aside.v1.AttachmentService/ReadAttachment "$photo"
expect 'SERVING_STATUS_SERVING' service /aside.rpc.v1.HealthService/Check ''
expect 'aside.v1.MessageService' service /aside.rpc.v1.ReflectionService/ListServices ''
expect 'aside/v1/pages.proto' service /aside.rpc.v1.ReflectionService/GetDescriptors 'symbol: "aside.v1.PageService"'
expect 'THREAD_NOT_FOUND' 43 /aside.v1.ThreadService/GetThread 'page_id: 1 user_id: 42'

# All that the schema has, streams apart: they need a session.
"${proto[@]}" "--descriptor_set_out=$dir/schema" "${files[@]}"
methods=$(protoc "-I$2" --decode=google.protobuf.FileDescriptorSet google/protobuf/descriptor.proto <"$dir/schema" |
	tr -d '"' | awk '/^  package:/ { package = $2 }
		/^  service {/ { inside = 1 }
		/^  }/ { inside = 0 }
		inside && /^    name:/ { service = $2 }
		inside && /^    method {/ { unary = 1 }
		inside && /^      name:/ { method = $2 }
		inside && /^      (client|server)_streaming: true/ { unary = 0 }
		inside && /^    }/ && unary { print "/" package "." service "/" method; unary = 0 }' | sort | tee "$dir/methods")
missing=$(printf %s "$called" | sort -u | comm -23 "$dir/methods" -)
[ -n "$methods" ] && [ -z "$missing" ] || { printf 'never called:\n%s\n' "$missing"; exit 1; }
printf '%s methods called\n' "$(wc -l <<<"$methods")"
