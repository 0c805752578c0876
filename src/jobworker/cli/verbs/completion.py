"""``jobctl completion``: scripts that make a shell ask ``jobctl __complete``."""

from __future__ import annotations

from jobworker.cli import report
from jobworker.cli.invocation import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from jobworker.cli.invocation import Invocation, Option

USAGE = "completion bash|zsh|fish"
OPTIONS: tuple[Option, ...] = ()
DETAILS = """\
Verbs, options and their values, profiles, and the IDs of those jobs that the verb can be
about: running ones for stop, ended ones for rm. A server that does not answer at once
costs a fifth of a second, and nothing is said; where the server is far away, give it more
by JOBCTL_COMPLETION_TIMEOUT=2s."""
EXAMPLES = (
    "jobctl completion bash > ~/.local/share/bash-completion/completions/jobctl",
    "jobctl completion fish > ~/.config/fish/completions/jobctl.fish",
    "source <(jobctl completion zsh)",
)

_BASH = r"""# bash completion for jobctl; made by: jobctl completion bash
_jobctl() {
    local cur=${COMP_WORDS[COMP_CWORD]} line word action
    COMPREPLY=()
    while IFS= read -r line; do
        word=${line%%$'\t'*}
        case $line in
            :files | :directories)
                compopt -o filenames 2>/dev/null
                [[ $line == :files ]] && action=file || action=directory
                mapfile -t COMPREPLY < <(compgen -A "$action" -- "$cur")
                ;;
            --*=*) # bash takes = for the end of a word, so it has that part already
                [[ $COMP_WORDBREAKS == *=* ]] && word=${word#*=}
                COMPREPLY+=("$(printf %q "$word")") ;;
            *) COMPREPLY+=("$(printf %q "$word")") ;;
        esac
    done < <("${COMP_WORDS[0]}" __complete -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
}
complete -F _jobctl jobctl
"""

_ZSH = r"""#compdef jobctl
# zsh completion for jobctl; made by: jobctl completion zsh
_jobctl() {
    local line word
    local -a described
    for line in "${(@f)$("${(Q)words[1]}" __complete -- "${(@Q)words[2,CURRENT]}" 2>/dev/null)}"; do
        word=${line%%$'\t'*}
        case $line in
            '') ;;
            :files) _files ;;
            :directories) _files -/ ;;
            *) described+=("${word//:/\\:}:${line#*$'\t'}") ;;
        esac
    done
    (( $#described )) && _describe -V jobctl described
}
if [ "$funcstack[1]" = _jobctl ]; then
    _jobctl "$@" # as a file of fpath, it is its own function's body
else
    compdef _jobctl jobctl
fi
"""

_FISH = r"""# fish completion for jobctl; made by: jobctl completion fish
function __jobctl_complete
    set -l words (commandline -opc)
    set -l typed (commandline -ct)
    set -l command $words[1]
    set -e words[1]
    for line in ($command __complete -- $words "$typed" 2>/dev/null)
        switch $line
            case :files
                __fish_complete_path "$typed"
            case :directories
                __fish_complete_directories "$typed"
            case '*'
                echo $line
        end
    end
end
complete -c jobctl -f -k -a '(__jobctl_complete)'
"""

SCRIPTS = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH}


def run(call: Invocation) -> int:
    """Prints the script of one shell."""
    if len(call.words) != 1 or call.words[0] not in SCRIPTS:
        raise UsageError(f"name one shell: {', '.join(SCRIPTS)}; see jobctl help completion")
    (shell,) = call.words
    if call.has("json"):
        report.answer({"shell": shell, "script": SCRIPTS[shell], "error": None})
        return 0
    for line in SCRIPTS[shell].splitlines():
        report.line(line)
    return 0
