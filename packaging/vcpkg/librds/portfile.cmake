# An overlay port of this checkout: vcpkg install librds --overlay-ports=packaging/vcpkg
get_filename_component(SOURCE_PATH "${CMAKE_CURRENT_LIST_DIR}/../../.." ABSOLUTE)
find_program(CARGO cargo REQUIRED)

vcpkg_execute_required_process(
  COMMAND make dist
  WORKING_DIRECTORY "${SOURCE_PATH}"
  LOGNAME "dist-${TARGET_TRIPLET}")
vcpkg_execute_required_process(
  COMMAND make install "PREFIX=${CURRENT_PACKAGES_DIR}"
  WORKING_DIRECTORY "${SOURCE_PATH}"
  LOGNAME "install-${TARGET_TRIPLET}")

vcpkg_cmake_config_fixup(PACKAGE_NAME rds CONFIG_PATH lib/cmake/rds)
vcpkg_fixup_pkgconfig()
file(REMOVE_RECURSE "${CURRENT_PACKAGES_DIR}/share/man" "${CURRENT_PACKAGES_DIR}/share/doc")
set(VCPKG_POLICY_ALLOW_EMPTY_FOLDERS enabled)
file(MAKE_DIRECTORY "${CURRENT_PACKAGES_DIR}/debug")
vcpkg_install_copyright(FILE_LIST "${SOURCE_PATH}/LICENSE" "${SOURCE_PATH}/THIRD-PARTY")
