// Guests of 512 bytes, for QEMU itself: they live within a second.
#pragma once

#include <string>
#include <vector>

namespace asr::testing {

// What a BIOS loads to address 0x7C00 and jumps to, in 16-bit real mode.
using BootCode = std::vector<unsigned char>;

// Writes the text that follows it to COM1, then halts.
inline const BootCode kWriteText = {
    0xFA,              // 7C00  cli
    0x31, 0xC0,        // 7C01  xor ax, ax
    0x8E, 0xD8,        // 7C03  mov ds, ax
    0xFC,              // 7C05  cld
    0xBE, 0x17, 0x7C,  // 7C06  mov si, 7C17  (the text)
    0xBA, 0xF8, 0x03,  // 7C09  mov dx, 03F8  (COM1's data)
    0xAC,              // 7C0C  lodsb
    0x84, 0xC0,        // 7C0D  test al, al
    0x74, 0x03,        // 7C0F  jz 7C14
    0xEE,              // 7C11  out dx, al
    0xEB, 0xF8,        // 7C12  jmp 7C0C
    0xF4,              // 7C14  hlt
    0xEB, 0xFD,        // 7C15  jmp 7C14
};

// The first sector of a disk that runs `code`, with `text` behind it.
inline std::string BootSector(const BootCode& code, const std::string& text) {
  std::string sector(code.begin(), code.end());
  sector += text;
  sector.resize(510, '\0');
  return sector + "\x55\xAA";
}

}  // namespace asr::testing
