# Flags every target shares.
add_library(dcp_flags INTERFACE)
target_compile_options(dcp_flags INTERFACE -Wall -Wextra -Wpedantic -Wshadow
  $<$<COMPILE_LANGUAGE:CXX>:-Wnon-virtual-dtor>)
if(DCP_WERROR)
  target_compile_options(dcp_flags INTERFACE -Werror)
endif()
if(DCP_SANITIZE)
  target_compile_options(dcp_flags INTERFACE -fsanitize=${DCP_SANITIZE} -fno-omit-frame-pointer)
  target_link_options(dcp_flags INTERFACE -fsanitize=${DCP_SANITIZE})
endif()

if(DCP_BUILD_FUZZERS)  # libFuzzer sees the coverage of every room
  target_compile_options(dcp_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()

# dcp_room(<name> DEPS <room>... [LINK <library>...]): one folder of src/, one object library
# dcp_<name>, every .cc file in it and below. DEPS are rooms on lower lines (docs/architecture.md);
# tests/abi/layers.py checks the includes against the same order.
set_property(GLOBAL PROPERTY DCP_ROOMS "")
function(dcp_room name)
  cmake_parse_arguments(ROOM "" "" "DEPS;LINK" ${ARGN})
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/${name}/*.cc)
  add_library(dcp_${name} OBJECT ${sources})
  target_include_directories(dcp_${name} PUBLIC ${PROJECT_SOURCE_DIR}/src)
  target_link_libraries(dcp_${name} PUBLIC dcp_flags Threads::Threads ${ROOM_LINK})
  foreach(dep ${ROOM_DEPS})
    target_link_libraries(dcp_${name} PUBLIC dcp_${dep})
  endforeach()
  set_property(GLOBAL APPEND PROPERTY DCP_ROOMS dcp_${name})
  set_property(GLOBAL PROPERTY DCP_ROOM_${name}_DEPS "${ROOM_DEPS}")
endfunction()

# dcp_link_rooms(<target> <room>...): objects of the rooms and of all rooms below them.
function(dcp_link_rooms target)
  set(todo ${ARGN})
  set(done "")
  while(todo)
    list(POP_FRONT todo room)
    if(room IN_LIST done)
      continue()
    endif()
    list(APPEND done ${room})
    get_property(deps GLOBAL PROPERTY DCP_ROOM_${room}_DEPS)
    list(APPEND todo ${deps})
  endwhile()
  foreach(room ${done})
    target_link_libraries(${target} PRIVATE dcp_${room})
    target_sources(${target} PRIVATE $<TARGET_OBJECTS:dcp_${room}>)
  endforeach()
endfunction()
