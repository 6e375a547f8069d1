"""
`regctl completion SHELL`, and the scripts that it prints.

All three scripts do the same. They pass the line up to the cursor to regctl in `$_REGCTL_LINE`,
which other users cannot see. Each line that regctl prints is a candidate: its kind, value and help,
separated by tabs (see shell_completion.py).
"""

import click

from regctl.cli.app import App, pass_app
from regctl.cli.command import Command

_BASH = r"""# Completion of regctl for bash.

_regctl() {
    local line=${COMP_LINE:0:COMP_POINT} kind value cut=
    local typed=${line##*[[:space:]]} breaks=${COMP_WORDBREAKS//[^:=]/}
    # bash only replaces the text after its last word break.
    [[ $breaks && $typed == *["$breaks"]* ]] && cut=${typed%"${typed##*["$breaks"]}"}
    COMPREPLY=()
    while IFS=$'\t' read -r kind value _; do
        case $kind in
            file) compopt -o default ;;
            folder) compopt -o dirnames ;;
            more) compopt -o nospace && COMPREPLY+=("${value#"$cut"}") ;;
            *) printf -v value %q "${value#"$cut"}" && COMPREPLY+=("$value") ;;
        esac
    done < <(_REGCTL_LINE=$line _REGCTL_COMPLETE=lines_complete "$1" 2>/dev/null)
}

complete -o nosort -F _regctl regctl 2>/dev/null || complete -F _regctl regctl
"""

_ZSH = r"""#compdef regctl
# Completion of regctl for zsh.

_regctl() {
    local line="${(j: :)words[1,CURRENT-1]} $PREFIX" kind value help
    local -a described unfinished
    while IFS=$'\t' read -r kind value help; do
        case $kind in
            file) _files ;;
            folder) _files -/ ;;
            more) unfinished+=("$value") ;;
            *) described+=("${value//:/\\:}${help:+:$help}") ;;
        esac
    done < <(_REGCTL_LINE=$line _REGCTL_COMPLETE=lines_complete $words[1] 2>/dev/null)
    (( $#unfinished )) && compadd -S '' -- $unfinished
    (( $#described )) && _describe -V regctl described
}

if [[ $funcstack[1] == _regctl ]]; then
    _regctl "$@"
else
    compdef _regctl regctl
fi
"""

_FISH = r"""# Completion of regctl for fish.

function __regctl_complete
    set -l line (commandline -cp)
    set -l program (commandline -po)[1]
    for candidate in (env _REGCTL_LINE="$line" _REGCTL_COMPLETE=lines_complete \
            $program 2>/dev/null)
        set -l parts (string split -m 2 \t -- $candidate)
        switch $parts[1]
            case file
                __fish_complete_path (commandline -ct)
            case folder
                __fish_complete_directories (commandline -ct)
            case '*'
                printf '%s\t%s\n' $parts[2] $parts[3]
        end
    end
end

complete --command regctl --no-files --keep-order --arguments '(__regctl_complete)'
"""

SCRIPTS = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH}


@click.command(
    cls=Command,
    examples=[
        "regctl completion bash > ~/.local/share/bash-completion/completions/regctl",
        "regctl completion zsh > ~/.zfunc/_regctl",
        "regctl completion fish > ~/.config/fish/completions/regctl.fish",
    ],
)
@click.argument("shell", type=click.Choice(list(SCRIPTS)))
@pass_app
def completion(app: App, shell: str) -> None:
    """Print the completion script of a shell."""
    app.output.write(SCRIPTS[shell])
