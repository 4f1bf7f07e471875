#include "cli/completion_scripts.h"

namespace asr {

const std::string_view kBashCompletion =
    R"script(# Completion of asr for bash 4.4 or newer; made by: asr completion bash

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
)script";

const std::string_view kZshCompletion = R"script(#compdef asr
# Completion of asr for zsh; made by: asr completion zsh

_asr() {
  local -a lines items
  local line value
  lines=("${(@f)$("${(Q)words[1]/#\~/$HOME}" __complete -- "${(@Q)words[2,CURRENT-1]}" "${(Q)PREFIX}" 2>/dev/null)}")
  case $lines[1] in
    '') return 1 ;;
    :files) compset -P '--*='; _files; return ;;
    :directories) compset -P '--*='; _files -/; return ;;
  esac
  for line in $lines; do
    value=${line%%$'\t'*}
    value=${value//\\/\\\\}
    items+=("${value//:/\\:}:${line#*$'\t'}")
  done
  _describe -V asr items
}

if [[ $funcstack[1] == _asr ]]; then
  _asr "$@"
else
  compdef _asr asr
fi
)script";

const std::string_view kFishCompletion =
    R"script(# Completion of asr for fish; made by: asr completion fish

function __asr_complete
    set -l words (commandline -opc)
    type -q -- $words[1]; or return
    set -l typed (string unescape -- (commandline -ct))
    # Of "--option=path" only the path is completed as one.
    set -l option (string match -r -- '^--[^=]*=' "$typed")
    set -l path (string replace -- "$option" '' "$typed")
    for line in ($words[1] __complete -- $words[2..-1] "$typed" 2>/dev/null)
        switch $line
            case :files
                string replace -r -- '^' "$option" (__fish_complete_path "$path")
            case :directories
                string replace -r -- '^' "$option" (__fish_complete_directories "$path")
            case '*'
                echo -- $line
        end
    end
end

complete -c asr -f -k -a '(__asr_complete)'
)script";

const std::string_view kPowerShellCompletion =
    R"script(# Completion of asr for PowerShell; made by: asr completion powershell

Register-ArgumentCompleter -Native -CommandName 'asr' -ScriptBlock {
    param($wordToComplete, $commandAst, $cursorPosition)

    $words = @($commandAst.CommandElements |
        Where-Object { $_.Extent.EndOffset -lt $cursorPosition } |
        ForEach-Object {
            if ($_ -is [System.Management.Automation.Language.StringConstantExpressionAst]) { $_.Value }
            else { $_.Extent.Text }
        })
    $command = $words[0]
    $before = @($words | Select-Object -Skip 1)
    $typed = $wordToComplete.Trim('"', "'")
    # Where arguments are passed in the old way, an empty one is lost unless it carries quotes.
    if ($typed -eq '' -and $PSNativeCommandArgumentPassing -notin 'Standard', 'Windows') {
        $lines = @(& $command __complete -- @before '""' 2>$null)
    } else {
        $lines = @(& $command __complete -- @before $typed 2>$null)
    }

    if ($lines.Count -eq 0) { return '' }
    if ($lines[0] -in ':files', ':directories') {
        $equals = if ($typed.StartsWith('--')) { $typed.IndexOf('=') + 1 } else { 0 }
        $kept = $typed.Substring(0, $equals)
        $found = [System.Management.Automation.CompletionCompleters]::CompleteFilename(
            $typed.Substring($equals))
        if ($lines[0] -eq ':directories') {
            $found = $found | Where-Object { $_.ResultType -eq 'ProviderContainer' }
        }
        return $found | ForEach-Object {
            [System.Management.Automation.CompletionResult]::new(
                $kept + $_.CompletionText, $_.ListItemText, $_.ResultType, $_.ToolTip)
        }
    }

    foreach ($line in $lines) {
        $value, $description = $line -split "`t", 2
        if (-not $description) { $description = $value }
        $text = $value
        # There are more characters than the ASCII quote that end a quoted string.
        if ($value -match '[^a-zA-Z0-9_\-./:=+]') {
            $escaped = [System.Management.Automation.Language.CodeGeneration]::EscapeSingleQuotedStringContent($value)
            $text = "'" + $escaped + "'"
        }
        [System.Management.Automation.CompletionResult]::new(
            $text, $value, 'ParameterValue', $description)
    }
}
)script";

}  // namespace asr
