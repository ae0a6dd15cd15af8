# Bash completion for aside: the program itself knows what may follow, and asks the server for methods.
_aside() {
	local IFS=$'\n'
	# shellcheck disable=SC2207 # a line each
	COMPREPLY=($(aside complete "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
}
complete -o default -F _aside aside
