# Builds that only look for mistakes (sanitizers, clang-tidy) compile neighbours together: most of the time goes into the
# headers, which are then read once for ten files. What is local to a file needs a name that no other file of its folder
# has: "redefinition of X" in a lump means that the younger X gets a more telling name, or that both are one. The verbs
# of the command line are the exception: each file of them has its own RunList and RunShow.
option(ASR_UNITY "compile the files of a folder together" OFF)

function(asr_compile_together target)
  if(NOT ASR_UNITY)
    return()
  endif()
  set_target_properties(${target} PROPERTIES UNITY_BUILD ON UNITY_BUILD_MODE GROUP)
  get_target_property(sources ${target} SOURCES)
  list(FILTER sources EXCLUDE REGEX "cli/[a-z_]*_commands\\.cc$")
  set(in_lump 0)
  set(lump 0)
  set(folder_before "")
  foreach(source IN LISTS sources)
    get_filename_component(folder ${source} DIRECTORY)
    if(NOT folder STREQUAL folder_before OR in_lump EQUAL 10)
      math(EXPR lump "${lump} + 1")
      set(in_lump 0)
      set(folder_before ${folder})
    endif()
    math(EXPR in_lump "${in_lump} + 1")
    set_source_files_properties(${source} PROPERTIES UNITY_GROUP "${target}_${lump}")
  endforeach()
endfunction()
