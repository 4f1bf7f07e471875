# The Debian package: `cpack --config build/release/CPackConfig.cmake` makes asr_VERSION_ARCH.deb.

# Debian's policy wants manual pages and the changelog compressed, without times in them.
function(asr_install_compressed source name destination)
  set(compressed ${CMAKE_CURRENT_BINARY_DIR}/compressed/${name}.gz)
  add_custom_command(OUTPUT ${compressed}
    COMMAND ${CMAKE_COMMAND} -E make_directory ${CMAKE_CURRENT_BINARY_DIR}/compressed
    COMMAND gzip -9nc ${source} > ${compressed}
    DEPENDS ${source} VERBATIM)
  set_property(GLOBAL APPEND PROPERTY ASR_COMPRESSED ${compressed})
  install(FILES ${compressed} DESTINATION ${destination})
endfunction()

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_CONTACT "The asr maintainers <maintainers@asr.invalid>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "keeps virtual machines recoverable")
set(CPACK_DEBIAN_PACKAGE_DESCRIPTION "asr replicates the disks of virtual machines into a vault:
initial replication, change logs, recovery points at a policy's frequency.
From there it brings them back: as disk images, or as a guest that boots from
a recovery point, to test that it would on the day it has to.")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION admin)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
# Loaded or started when they are first needed: vaults on Azure, metrics over HTTP, qcow2 disks, and
# guests of test failovers.
set(CPACK_DEBIAN_PACKAGE_RECOMMENDS "ca-certificates, libcurl4, libmicrohttpd12, libnbd0, qemu-utils, qemu-system-x86, ovmf")
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)

set(documents ${CMAKE_INSTALL_DATADIR}/doc/asr)
asr_install_compressed(${CMAKE_CURRENT_LIST_DIR}/package/changelog changelog ${documents})
install(FILES ${CMAKE_CURRENT_LIST_DIR}/package/copyright DESTINATION ${documents})
install(FILES ${CMAKE_CURRENT_LIST_DIR}/package/lintian-overrides RENAME asr
  DESTINATION ${CMAKE_INSTALL_DATADIR}/lintian/overrides)
file(GLOB ASR_MAN_PAGES CONFIGURE_DEPENDS man/*.[1-8])
foreach(page IN LISTS ASR_MAN_PAGES)
  get_filename_component(name ${page} NAME)
  string(REGEX REPLACE ".*\\." "" section ${name})
  asr_install_compressed(${page} ${name} ${CMAKE_INSTALL_MANDIR}/man${section})
endforeach()

get_property(compressed GLOBAL PROPERTY ASR_COMPRESSED)
add_custom_target(compressed ALL DEPENDS ${compressed})
include(CPack)
