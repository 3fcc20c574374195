# SPDX-License-Identifier: Apache-2.0
# How the project's targets are made: language level, warnings, sanitizers and the include root.

include(GNUInstallDirs)

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)

find_program(CVM_CCACHE ccache)
if(CVM_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CVM_CCACHE})
endif()
find_program(CVM_MOLD mold)
if(CVM_MOLD)
  add_link_options(-fuse-ld=mold)
endif()

if(CVM_SANITIZE)
  add_compile_options(-fsanitize=${CVM_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${CVM_SANITIZE})
endif()
if(CMAKE_BUILD_TYPE STREQUAL "Release")
  add_compile_options(-fstack-protector-strong)
  add_compile_definitions(_FORTIFY_SOURCE=2)
  add_link_options(-Wl,-z,relro,-z,now)
endif()

set(CVM_WARNINGS -Wall -Wextra -Wpedantic -Wnon-virtual-dtor -Woverloaded-virtual -Werror)
if(CMAKE_CXX_COMPILER_ID MATCHES "Clang")
  list(APPEND CVM_WARNINGS -Wthread-safety)
else()
  # gcc 12 sees overlaps in std::string that are not there (its bug 105651).
  list(APPEND CVM_WARNINGS -Wno-restrict)
endif()

function(_cvm_target_defaults target)
  target_include_directories(${target} PRIVATE ${PROJECT_SOURCE_DIR})
  target_compile_options(${target} PRIVATE ${CVM_WARNINGS})
  if(CVM_TEST_HOOKS)
    target_compile_definitions(${target} PRIVATE CVM_TEST_HOOKS=1)
  endif()
endfunction()

# cvm_library(NAME <target> SOURCES <file>... [DEPS <target>...])
# A static library. Its users see the repository as include root.
function(cvm_library)
  cmake_parse_arguments(ARG "" "NAME" "SOURCES;DEPS" ${ARGN})
  add_library(${ARG_NAME} STATIC ${ARG_SOURCES})
  target_link_libraries(${ARG_NAME} PUBLIC ${ARG_DEPS})
  _cvm_target_defaults(${ARG_NAME})
endfunction()

# cvm_executable(NAME <target> SOURCES <file>... [DEPS <target>...])
function(cvm_executable)
  cmake_parse_arguments(ARG "" "NAME" "SOURCES;DEPS" ${ARGN})
  add_executable(${ARG_NAME} ${ARG_SOURCES})
  target_link_libraries(${ARG_NAME} PRIVATE ${ARG_DEPS})
  _cvm_target_defaults(${ARG_NAME})
endfunction()

# cvm_test(NAME <target> SOURCES <file>... [DEPS <target>...] [LABELS unit|contract|...])
# One GoogleTest executable, registered with ctest and run in the top folder, from which CVM_TESTDATA
# leads to its data.
function(cvm_test)
  cmake_parse_arguments(ARG "" "NAME" "SOURCES;DEPS;LIBS;LABELS" ${ARGN})
  cvm_executable(NAME ${ARG_NAME} SOURCES ${ARG_SOURCES}
                 DEPS ${ARG_DEPS} ${ARG_LIBS} GTest::gtest GTest::gtest_main GTest::gmock)
  target_compile_definitions(${ARG_NAME} PRIVATE
    CVM_TESTDATA="tests/testdata")
  add_test(NAME ${ARG_NAME} COMMAND ${ARG_NAME} WORKING_DIRECTORY ${PROJECT_SOURCE_DIR})
  set_tests_properties(${ARG_NAME} PROPERTIES LABELS "${ARG_LABELS}")
endfunction()
