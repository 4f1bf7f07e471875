# Flags of every target: C++20, warnings as errors, checked containers, optional sanitizers, which name lines and no more.
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE RelWithDebInfo)
endif()

find_program(CCACHE_PROGRAM ccache)
if(CCACHE_PROGRAM AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CCACHE_PROGRAM})
endif()

set(ASR_SANITIZER "" CACHE STRING "address (with undefined), thread, fuzzer (with both), or nothing")

add_library(asr_compiler INTERFACE)
target_compile_options(asr_compiler INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Werror)
target_compile_definitions(asr_compiler INTERFACE _GLIBCXX_ASSERTIONS _FILE_OFFSET_BITS=64)
if(ASR_SANITIZER)
  target_compile_definitions(asr_compiler INTERFACE ASR_SANITIZED)
endif()
if(ASR_SANITIZER STREQUAL "address")
  target_compile_options(asr_compiler INTERFACE
    -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer -O1 -g1)
  target_link_options(asr_compiler INTERFACE -fsanitize=address,undefined)
elseif(ASR_SANITIZER STREQUAL "fuzzer")
  target_compile_options(asr_compiler INTERFACE
    -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer -O2 -g1)
  target_link_options(asr_compiler INTERFACE -fsanitize=address,undefined)
elseif(ASR_SANITIZER STREQUAL "thread")
  target_compile_options(asr_compiler INTERFACE -fsanitize=thread -O1 -g1)
  target_link_options(asr_compiler INTERFACE -fsanitize=thread)
endif()
