/**
 * The program of the pause image: it holds a pod's namespaces open, reaps what is left to process 1, and ends on TERM
 * or INT. 64-bit x86 machine code in a minimal ELF file, so that no compiler is needed.
 */

/** The signals that it blocks and waits for: INT (2), TERM (15), CHLD (17); signal n is bit n - 1. */
const SIGNAL_MASK = (1 << 1) | (1 << 14) | (1 << 16);
const BASE = 0x400000;
const HEADERS = 64 + 56;

// biome-ignore format: one instruction per line
const CODE = Buffer.from([
  0xb8, 14, 0, 0, 0,              //  0        mov eax, 14            rt_sigprocmask(SIG_BLOCK, set, NULL, 8)
  0x31, 0xff,                     //  5        xor edi, edi
  0x48, 0x8d, 0x35, 86, 0, 0, 0,  //  7        lea rsi, [rip+86]      -> 100
  0x31, 0xd2,                     // 14        xor edx, edx
  0x41, 0xba, 8, 0, 0, 0,         // 16        mov r10d, 8
  0x0f, 0x05,                     // 22        syscall
  0xb8, 128, 0, 0, 0,             // 24 wait:  mov eax, 128           rt_sigtimedwait(set, NULL, NULL, 8)
  0x48, 0x8d, 0x3d, 64, 0, 0, 0,  // 29        lea rdi, [rip+64]      -> 100
  0x31, 0xf6,                     // 36        xor esi, esi
  0x31, 0xd2,                     // 38        xor edx, edx
  0x41, 0xba, 8, 0, 0, 0,         // 40        mov r10d, 8
  0x0f, 0x05,                     // 46        syscall
  0x83, 0xf8, 17,                 // 48        cmp eax, 17
  0x74, 11,                       // 51        je reap                -> 64
  0x85, 0xc0,                     // 53        test eax, eax
  0x7e, 0xdf,                     // 55        jle wait               -> 24, interrupted
  0x31, 0xff,                     // 57        xor edi, edi           exit(0)
  0x6a, 60, 0x58,                 // 59        push 60; pop rax
  0x0f, 0x05,                     // 62        syscall
  0x6a, 61, 0x58,                 // 64 reap:  push 61; pop rax       wait4(-1, NULL, WNOHANG, NULL)
  0x48, 0x83, 0xcf, 0xff,         // 67        or rdi, -1
  0x31, 0xf6,                     // 71        xor esi, esi
  0xba, 1, 0, 0, 0,               // 73        mov edx, 1
  0x4d, 0x31, 0xd2,               // 78        xor r10, r10
  0x0f, 0x05,                     // 81        syscall
  0x85, 0xc0,                     // 83        test eax, eax
  0x7f, 0xe9,                     // 85        jg reap                -> 64
  0xeb, 0xbf,                     // 87        jmp wait               -> 24
  0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, // 89       padding up to the set
]);

/** The ELF file. */
export function pauseBinary(): Buffer {
  const set = Buffer.alloc(8);
  set.writeUInt32LE(SIGNAL_MASK, 0);
  const size = HEADERS + CODE.length + set.length;
  const elf = Buffer.alloc(HEADERS);
  Buffer.from([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]).copy(elf, 0);
  elf.writeUInt16LE(2, 16); // an executable
  elf.writeUInt16LE(62, 18); // x86-64
  elf.writeUInt32LE(1, 20);
  elf.writeBigUInt64LE(BigInt(BASE + HEADERS), 24); // entry point
  elf.writeBigUInt64LE(64n, 32); // program headers start here
  elf.writeUInt16LE(64, 52);
  elf.writeUInt16LE(56, 54);
  elf.writeUInt16LE(1, 56);
  elf.writeUInt32LE(1, 64); // load this file
  elf.writeUInt32LE(5, 68); // read, execute
  elf.writeBigUInt64LE(BigInt(BASE), 80);
  elf.writeBigUInt64LE(BigInt(BASE), 88);
  elf.writeBigUInt64LE(BigInt(size), 96);
  elf.writeBigUInt64LE(BigInt(size), 104);
  elf.writeBigUInt64LE(0x1000n, 112);
  return Buffer.concat([elf, CODE, set]);
}
