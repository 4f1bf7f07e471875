# Completion of asr for bash 4.4 or newer; made by: asr completion bash

_asr() {
  local line=${COMP_LINE:0:COMP_POINT}
  local -a words=()
  local word='' quote='' quoted_from=0 has_begun='' c next i
  # Takes the line apart as bash does, but expands nothing. COMP_WORDS would be cut at ':' and '='.
  for ((i = 0; i < ${#line}; i++)); do
    c=${line:i:1}
    if [[ $quote == "'" && $c != "'" ]]; then
      word+=$c
    elif [[ $c == "\\" ]]; then
      ((++i))
      next=${line:i:1}
      [[ $quote != '"' || $next == [\$\`\"\\] ]] || word+="\\"
      word+=$next has_begun=1
    elif [[ -n $quote && $c == "$quote" ]]; then
      quote=
    elif [[ -z $quote && $c == [\'\"] ]]; then
      quote=$c quoted_from=${#word} has_begun=1
    elif [[ -z $quote && $c == [[:blank:]] ]]; then
      [[ -z $has_begun ]] || words+=("$word")
      word='' has_begun=''
    else
      word+=$c has_begun=1
    fi
  done

  local -a values
  mapfile -t values < <("${words[0]/#~/$HOME}" __complete -- "${words[@]:1}" "$word" 2>/dev/null)
  COMPREPLY=()
  case ${values[0]-} in
    '') return ;;
    :files) compopt -o default ;;
    :directories) compopt -o dirnames ;;
  esac
  [[ ${values[0]} != :* ]] || return 0
  values=("${values[@]%%$'\t'*}")

  # Readline replaces what stands behind an open quote, or else behind the last '=' or ':'.
  local kept=${word:0:quoted_from} breaks=${COMP_WORDBREAKS//[^=:]/}
  if [[ -z $quote ]]; then
    kept=
    [[ -z $breaks ]] || kept=${word%"${word##*["$breaks"]}"}
  fi
  values=("${values[@]#"$kept"}")

  case $quote in
    \') COMPREPLY=("${values[@]//\'/\'\\\'\'}") ;;
    \")
      values=("${values[@]//\\/\\\\}")
      values=("${values[@]//\"/\\\"}")
      values=("${values[@]//\$/\\\$}")
      COMPREPLY=("${values[@]//\`/\\\`}")
      ;;
    *)
      printf -v line '%q\n' "${values[@]}"
      mapfile -t COMPREPLY <<<"${line%$'\n'}"
      ;;
  esac
}

complete -o nosort -F _asr asr
