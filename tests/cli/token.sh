#!/usr/bin/env bash
# aside token: the commands that its help shows make a key and a token, and a server takes it.
#
#     token.sh BUILD WITH-SERVER
# shellcheck source=tests/cli/lib.sh
. "${0%/*}/lib.sh"
with_server=$2
chmod 755 "$dir"
cd "$dir" || exit
PATH=$(dirname "$aside"):$PATH

mapfile -t shown <<<"$(aside token --help | sed -n 's/^  \([a-z]\)/\1/p')"
for line in "${shown[@]}"; do
	[[ "$line" == aside-server* ]] || eval "$line"
done
run token --help
check 'the help makes a token' [ -s token ]

# serve FLAG...: a server beside the test, instead of the one before; its addresses are in $listeners.
serve() {
	leave
	coproc server { "$with_server" --keys "$dir/keys" "$@" -- bash -c 'echo "$ASIDE_LISTENERS"; cat'; }
	read -r listeners <&"${server[0]}"
}
leave() {
	local input=${server[1]-}
	[ -z "$input" ] || { exec {input}>&- && wait $!; }
}

accepted() { # STATUS CALL...
	local expected=$1
	shift
	run --server "$listeners" "$@"
	ends "$expected"
}
creates() { # STATUS PAGE: with the token in the file `token`
	accepted "$1" --token-file token call CreatePage "{\"pageId\": $2, \"name\": \"Coke\", \"adminUserId\": 7}"
}

serve --listen tcp://127.0.0.1:0
check 'a server takes it' creates 0 1
aside token --key dev.key --kid dev --service me --scope message.read >token
check 'but not for what it does not allow' creates 17 2
check 'and nobody without one' accepted 26 call ListMyThreads
aside token --key dev.key --kid dev --service me --scope page.write --audience coke >token
check 'one without a name takes a token for any' creates 0 2
ASIDE_AUDIENCE=coke serve --listen tcp://127.0.0.1:0
check 'a server of that name takes a token for it' creates 0 1
ASIDE_AUDIENCE=pepsi serve --listen tcp://127.0.0.1:0
check 'another does not' creates 26 1
openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out rsa.key 2>/dev/null
openssl pkey -in rsa.key -pubout -out keys/rsa.pem

# ── certificates ──

certificate() { # FILE NAME
	openssl req -x509 -newkey rsa:2048 -nodes -days 2 -keyout "$1.key" -out "$1" -subj "/CN=$2" -addext "subjectAltName=DNS:$2,IP:127.0.0.1" 2>/dev/null
}
certificate server.crt localhost
certificate other.crt localhost
cat server.crt server.crt.key >server.pem
met() { # WORDS FLAG...: what is said of the tls+tcp server when it is called with these flags
	local words=$1
	shift
	run --server "$listeners" --timeout 1000 "$@" list
	says "$words" || warns "$words"
}
aside token --key rsa.key --kid rsa --user 42 --ttl 60 >token
serve --tls "$dir/server.pem" --listen tls+tcp://127.0.0.1:0
check 'RSA keys sign as well' accepted 0 --ca-file server.crt --server-name localhost --token-file token call ListMyThreads
check 'a server with a certificate is called by its name' met '  SendMessage' --ca-file server.crt --server-name localhost
check 'another name is told' met 'or not for the name 127.0.0.1' --ca-file server.crt
check 'an unknown authority, too' met 'from no authority in other.crt' --ca-file other.crt --server-name localhost
check 'and that there is none' met 'cannot be checked: --ca-file' --server-name localhost

claims() { # JQ-CONDITION
	{ cut -d. -f2 token; echo '=='; } | tr -d '\n' | tr '_-' '/+' | base64 -di 2>/dev/null | jq -e "$1" >/dev/null
}
check 'a token says who and until when' claims '.sub == "42" and .exp - .iat == 60'

refused 2 '--key FILE and --kid KID' token --kid dev --user 1
refused 2 'either --user ID or --service NAME' token --key dev.key --kid dev
refused 2 'either --user ID or --service NAME' token --key dev.key --kid dev --user 1 --service me
refused 2 'is no id' token --key dev.key --kid dev --user me
refused 2 'KID.pem' token --key dev.key --kid ../dev --user 1
refused 2 '--service' token --key dev.key --kid dev --service 'a b'
refused 2 '--scope is for services' token --key dev.key --kid dev --user 1 --scope user.act
run token --key dev.key --kid dev --service me --scope 'page.wirte user.act'
check 'a scope that no method asks for is made, with a warning' warns 'no method asks for the scope page.wirte'
check 'one that acts for persons is known' [ "${err/user.act/}" = "$err" ]
refused 2 '--scope: names' token --key dev.key --kid dev --service me --scope 'a"b'
refused 2 'from 1 to 2592000' token --key dev.key --kid dev --user 1 --ttl 2592001
refused 2 'from 1 to 2592000' token --key dev.key --kid dev --user 1 --ttl abc
refused 2 'No such file' token --key none.key --kid dev --user 1
refused 2 'chmod 600' token --key keys/dev.pem --kid dev --user 1
chmod 600 keys/dev.pem
refused 2 'public key' token --key keys/dev.pem --kid dev --user 1
chmod 640 dev.key
refused 2 'chmod 600' token --key dev.key --kid dev --user 1
: >empty.key
chmod 600 empty.key
refused 2 'nothing is there' token --key empty.key --kid dev --user 1
openssl genpkey -algorithm ED25519 -out ed.key
refused 2 'P-256 or RSA' token --key ed.key --kid dev --user 1
openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:1024 -out small.key 2>/dev/null
refused 2 'less than 2048' token --key small.key --kid dev --user 1
openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -aes256 -pass pass:x -out locked.key
refused 2 'is encrypted' token --key locked.key --kid dev --user 1
leave
cd /
finish
