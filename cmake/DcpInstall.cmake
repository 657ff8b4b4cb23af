# What `cmake --install` lays down beside the library and dcpctl: find_package(dcp) and dcp.pc, both
# of which may be moved with their prefix.
include(CMakePackageConfigHelpers)

set(dcp_cmake_folder ${CMAKE_INSTALL_LIBDIR}/cmake/dcp)
install(EXPORT dcpTargets NAMESPACE dcp:: DESTINATION ${dcp_cmake_folder})
configure_package_config_file(${PROJECT_SOURCE_DIR}/cmake/dcpConfig.cmake.in
  ${CMAKE_BINARY_DIR}/dcpConfig.cmake INSTALL_DESTINATION ${dcp_cmake_folder})
write_basic_package_version_file(${CMAKE_BINARY_DIR}/dcpConfigVersion.cmake
  COMPATIBILITY SameMajorVersion)
install(FILES ${CMAKE_BINARY_DIR}/dcpConfig.cmake ${CMAKE_BINARY_DIR}/dcpConfigVersion.cmake
  DESTINATION ${dcp_cmake_folder})

file(RELATIVE_PATH DCP_PC_TO_PREFIX /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
configure_file(${PROJECT_SOURCE_DIR}/cmake/dcp.pc.in ${CMAKE_BINARY_DIR}/dcp.pc @ONLY)
install(FILES ${CMAKE_BINARY_DIR}/dcp.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
