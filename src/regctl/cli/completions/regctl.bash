# Completion of regctl for bash.

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
            word)
                printf -v value %q "${value#"$cut"}"
                COMPREPLY+=("${value//\\,/,}") # %q quotes commas without need
                ;;
        esac
    done < <(_REGCTL_LINE=$line "$1" 2>/dev/null)
}

complete -o nosort -F _regctl regctl 2>/dev/null || complete -F _regctl regctl
