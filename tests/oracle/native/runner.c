// SPDX-License-Identifier: Apache-2.0
//
// Runs test cases, one instruction each, on the processor under our feet.
//
//   runner < cases > outcomes        (layouts: records.ts)
//
// One signal per case does all the work. Its handler reads what the last
// instruction left in the signal frame, writes the next case's state into the
// same frame with TF set, and returns: the kernel loads the state, the
// processor executes one instruction, and the trap (or the fault) brings us
// back with all registers saved. No ptrace, no fork: a few hundred thousand
// cases per second.

#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <signal.h>
#include <unistd.h>
#include <ucontext.h>
#include <sys/auxv.h>
#include <sys/mman.h>

#define PAGE 4096u
#define TF 0x100
#define RF 0x10000

// ---- the layouts, as in records.ts ----

struct state {
  uint64_t general[16]; // rax rcx rdx rbx rsp rbp rsi rdi r8..r15
  uint64_t rip, rflags, fs_base, gs_base;
  uint32_t mxcsr;
  uint16_t fcw, fsw;
  uint8_t ftw, selectors[4], reserved[3]; // DS ES FS GS
  uint8_t st[8][16];
  uint8_t xmm[16][16];
} __attribute__((packed));

struct case_header {
  uint32_t flags;  // bit 0: step again while RIP stays (REP); bit 1: run to INT3 or a fault
  uint16_t code_length;
  uint8_t patches, reserved;
  struct state state;
} __attribute__((packed)); // then code bytes, then patches: u64 address, u16 length, bytes

struct outcome_header {
  uint16_t vector; // 0xffff: completed
  uint16_t writes;
  uint32_t error_code;
  uint64_t address;
  struct state state;
} __attribute__((packed)); // then writes: u64 address, u16 length, bytes

// ---- memory: a background that every case finds, through two mappings ----

struct region { uint64_t start; uint32_t pages; int protection; uint8_t *alias, *background; };

static struct region regions[] = {
  { 0x10000000, 2, PROT_READ | PROT_EXEC,  0, 0 }, // code
  { 0x20000000, 2, PROT_READ | PROT_WRITE, 0, 0 }, // data
  { 0x20002000, 1, PROT_READ,              0, 0 }, // read-only data; unmapped beyond
  { 0x30000000, 2, PROT_READ | PROT_WRITE, 0, 0 }, // stack
  { 0x123456789000, 1, PROT_READ | PROT_WRITE, 0, 0 }, // data beyond 4 GiB
};
#define REGIONS (sizeof regions / sizeof regions[0])

static void die(const char *what) { perror(what); exit(1); }

static uint8_t background_byte(uint64_t address) {
  uint32_t a = (uint32_t)address;
  return (uint8_t)(((a ^ (a >> 8)) * 0x3d + 0x5a) & 0xff);
}

static void map_region(struct region *r) {
  size_t size = (size_t)r->pages * PAGE;
  int fd = memfd_create("oracle", 0);
  if (fd < 0 || ftruncate(fd, (off_t)size)) die("memfd");
  void *at = mmap((void *)r->start, size, r->protection, MAP_SHARED | MAP_FIXED_NOREPLACE | MAP_POPULATE, fd, 0);
  r->alias = mmap(0, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0);
  r->background = malloc(size);
  if (at != (void *)r->start || r->alias == MAP_FAILED || !r->background) die("mmap");
  for (size_t i = 0; i < size; i++) r->background[i] = r->alias[i] = background_byte(r->start + i);
  close(fd);
}

static struct region *region_of(uint64_t address) {
  for (size_t i = 0; i < REGIONS; i++)
    if (address - regions[i].start < (uint64_t)regions[i].pages * PAGE) return &regions[i];
  return 0;
}

/** Writes what fits into mapped memory; the rest of the bytes is dropped. */
static void poke(uint64_t address, const uint8_t *bytes, size_t length) {
  for (size_t i = 0; i < length; i++) {
    struct region *r = region_of(address + i);
    if (r) r->alias[address + i - r->start] = bytes[i];
  }
}

static void unpoke(uint64_t address, size_t length) {
  for (size_t i = 0; i < length; i++) {
    struct region *r = region_of(address + i);
    if (r) r->alias[address + i - r->start] = r->background[address + i - r->start];
  }
}

// ---- the run ----

static const uint8_t *input, *input_end, *current;
static uint8_t *output, *output_at, *output_end;
static int started;
static greg_t saved_gregs[NGREG];
static uint8_t saved_fp[512];
static uint64_t own_fs, own_gs;
static uint8_t before[PAGE * 2];
static unsigned steps;

static const int order[16] = { REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                               REG_R8, REG_R9, REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15 };

static inline uint64_t rdfs(void) { uint64_t v; __asm__ volatile("rdfsbase %0" : "=r"(v)); return v; }
static inline uint64_t rdgs(void) { uint64_t v; __asm__ volatile("rdgsbase %0" : "=r"(v)); return v; }
static inline void wrfs(uint64_t v) { __asm__ volatile("wrfsbase %0" :: "r"(v)); }
static inline void wrgs(uint64_t v) { __asm__ volatile("wrgsbase %0" :: "r"(v)); }

static const uint8_t *patches_of(const uint8_t *record) {
  const struct case_header *h = (const void *)record;
  return record + sizeof *h + h->code_length;
}

static const uint8_t *each_patch(const uint8_t *record, void (*visit)(uint64_t, const uint8_t *, size_t)) {
  const struct case_header *h = (const void *)record;
  const uint8_t *p = patches_of(record);
  for (int i = 0; i < h->patches; i++) {
    uint64_t address; uint16_t length;
    memcpy(&address, p, 8); memcpy(&length, p + 8, 2);
    visit(address, p + 10, length);
    p += 10 + length;
  }
  return p;
}

static void visit_poke(uint64_t a, const uint8_t *b, size_t n) { poke(a, b, n); }
static void visit_unpoke(uint64_t a, const uint8_t *b, size_t n) { (void)b; unpoke(a, n); }

struct selectors { uint16_t of[4]; };

static inline struct selectors read_selectors(void) {
  struct selectors s;
  __asm__ volatile("mov %%ds, %0" : "=r"(s.of[0]));
  __asm__ volatile("mov %%es, %0" : "=r"(s.of[1]));
  __asm__ volatile("mov %%fs, %0" : "=r"(s.of[2]));
  __asm__ volatile("mov %%gs, %0" : "=r"(s.of[3]));
  return s;
}

/** Null in all four, which clears no base here that is not written afterwards. */
static void clear_selectors(const struct selectors *s) {
  if (s->of[0]) __asm__ volatile("mov %0, %%ds" :: "r"(0));
  if (s->of[1]) __asm__ volatile("mov %0, %%es" :: "r"(0));
  if (s->of[2]) __asm__ volatile("mov %0, %%fs" :: "r"(0));
  if (s->of[3]) __asm__ volatile("mov %0, %%gs" :: "r"(0));
}

static void load_state(ucontext_t *uc, const struct state *s, int step) {
  greg_t *g = uc->uc_mcontext.gregs;
  uint8_t *fp = (uint8_t *)uc->uc_mcontext.fpregs;
  for (int i = 0; i < 16; i++) g[order[i]] = (greg_t)s->general[i];
  g[REG_RIP] = (greg_t)s->rip;
  g[REG_EFL] = (greg_t)(s->rflags | (step ? TF : 0));
  memcpy(fp + 0, &s->fcw, 2); memcpy(fp + 2, &s->fsw, 2);
  fp[4] = s->ftw; fp[5] = 0;
  memset(fp + 6, 0, 18); // FOP, FIP, FDP: processors differ in whether they keep them
  memcpy(fp + 24, &s->mxcsr, 4);
  memcpy(fp + 32, s->st, 128);
  memcpy(fp + 160, s->xmm, 256);
  uint64_t in_use = 3; // XSTATE_BV: x87 and SSE; all other components in their initial state
  memcpy(fp + 512, &in_use, 8);
}

static void store_state(const ucontext_t *uc, struct state *s, uint64_t fs, uint64_t gs, const struct selectors *selectors) {
  const greg_t *g = uc->uc_mcontext.gregs;
  const uint8_t *fp = (const uint8_t *)uc->uc_mcontext.fpregs;
  uint64_t in_use;
  memcpy(&in_use, fp + 512, 8);
  memset(s, 0, sizeof *s);
  for (int i = 0; i < 16; i++) s->general[i] = (uint64_t)g[order[i]];
  s->rip = (uint64_t)g[REG_RIP];
  s->rflags = (uint64_t)g[REG_EFL] & ~(uint64_t)(TF | RF);
  s->fs_base = fs; s->gs_base = gs;
  for (int i = 0; i < 4; i++) s->selectors[i] = (uint8_t)selectors->of[i];
  memcpy(&s->mxcsr, fp + 24, 4);
  s->fcw = 0x37f;
  if (in_use & 1) {
    memcpy(&s->fcw, fp + 0, 2); memcpy(&s->fsw, fp + 2, 2);
    s->ftw = fp[4];
    for (int i = 0; i < 8; i++) memcpy(s->st[i], fp + 32 + 16 * i, 10);
  }
  if (in_use & 2) memcpy(s->xmm, fp + 160, 256);
}

static void need_output(size_t bytes) {
  if ((size_t)(output_end - output_at) >= bytes) return;
  _exit(3);
}

/** Appends what differs from background + patches as runs, and puts the background back. */
static int store_writes(const uint8_t *record) {
  int runs = 0;
  for (size_t k = 0; k < REGIONS; k++) {
    struct region *r = &regions[k];
    if (!(r->protection & PROT_WRITE)) continue;
    size_t size = (size_t)r->pages * PAGE;
    const struct case_header *h = (const void *)record;
    int patched = 0;
    const uint8_t *p = patches_of(record);
    for (int i = 0; i < h->patches; i++) {
      uint64_t a; uint16_t n;
      memcpy(&a, p, 8); memcpy(&n, p + 8, 2);
      if (a + n > r->start && a < r->start + size) patched = 1;
      p += 10 + n;
    }
    if (!patched && memcmp(r->alias, r->background, size) == 0) continue;
    memcpy(before, r->background, size);
    p = patches_of(record);
    for (int i = 0; i < h->patches; i++) {
      uint64_t a; uint16_t n;
      memcpy(&a, p, 8); memcpy(&n, p + 8, 2);
      for (int j = 0; j < n; j++) if (a + j - r->start < size) before[a + j - r->start] = p[10 + j];
      p += 10 + n;
    }
    if (memcmp(r->alias, before, size) != 0) {
      for (size_t i = 0; i < size;) {
        if ((i & 63) == 0 && memcmp(r->alias + i, before + i, 64) == 0) { i += 64; continue; }
        if (r->alias[i] == before[i]) { i++; continue; }
        size_t end = i;
        while (end < size && r->alias[end] != before[end]) end++;
        need_output(10 + end - i);
        uint64_t address = r->start + i; uint16_t length = (uint16_t)(end - i);
        memcpy(output_at, &address, 8); memcpy(output_at + 8, &length, 2);
        memcpy(output_at + 10, r->alias + i, length);
        output_at += 10 + length;
        runs++;
        i = end;
      }
    }
    memcpy(r->alias, r->background, size);
  }
  return runs;
}

static void finish(const ucontext_t *uc, int signal, uint64_t fs, uint64_t gs, const struct selectors *selectors) {
  const greg_t *g = uc->uc_mcontext.gregs;
  need_output(sizeof(struct outcome_header));
  struct outcome_header *out = (void *)output_at;
  output_at += sizeof *out;
  int completed = signal == SIGTRAP && g[REG_TRAPNO] == 1;
  out->vector = completed ? 0xffff : (uint16_t)g[REG_TRAPNO];
  out->error_code = completed ? 0 : (uint32_t)g[REG_ERR];
  out->address = g[REG_TRAPNO] == 14 && !completed ? (uint64_t)g[REG_CR2] : 0;
  store_state(uc, &out->state, fs, gs, selectors);
  out->writes = (uint16_t)store_writes(current);
  const struct case_header *h = (const void *)current;
  unpoke(h->state.rip, h->code_length);
  current = each_patch(current, visit_unpoke);
}

static void start(ucontext_t *uc) {
  const struct case_header *h = (const void *)current;
  poke(h->state.rip, current + sizeof *h, h->code_length);
  each_patch(current, visit_poke);
  load_state(uc, &h->state, !(h->flags & 2));
  steps = 0;
  wrgs(h->state.gs_base);
  wrfs(h->state.fs_base);
}

__attribute__((used)) static void handle(int signal, siginfo_t *info, ucontext_t *uc) {
  (void)info;
  uint64_t fs = rdfs(), gs = rdgs();
  const struct selectors selectors = read_selectors();
  if (!started) {
    started = 1;
    own_fs = fs; own_gs = gs;
    memcpy(saved_gregs, uc->uc_mcontext.gregs, sizeof saved_gregs);
    memcpy(saved_fp, uc->uc_mcontext.fpregs, 416);
  } else {
    const struct case_header *h = (const void *)current;
    greg_t *g = uc->uc_mcontext.gregs;
    int stepped = signal == SIGTRAP && g[REG_TRAPNO] == 1;
    if ((h->flags & 1) && stepped && (uint64_t)g[REG_RIP] == h->state.rip && ++steps < 10000) return;
    clear_selectors(&selectors);
    wrfs(own_fs); wrgs(own_gs);
    finish(uc, signal, fs, gs, &selectors);
  }
  if (current < input_end) { start(uc); return; }
  memcpy(uc->uc_mcontext.gregs, saved_gregs, sizeof saved_gregs);
  memcpy(uc->uc_mcontext.fpregs, saved_fp, 416);
  wrfs(own_fs); wrgs(own_gs);
}

// The kernel enters a handler with the interrupted AC; C code is not written for alignment checks.
__asm__("entry: pushfq\n andl $~0x40000, (%rsp)\n popfq\n jmp handle\n");
extern void entry(int, siginfo_t *, void *);

static uint8_t *read_all(size_t *length) {
  size_t room = 1 << 20, n = 0;
  uint8_t *bytes = malloc(room);
  for (;;) {
    ssize_t got = read(0, bytes + n, room - n);
    if (got < 0) die("read");
    if (got == 0) break;
    n += (size_t)got;
    if (n == room) bytes = realloc(bytes, room *= 2);
    if (!bytes) die("realloc");
  }
  *length = n;
  return bytes;
}

int main(void) {
  if (!(getauxval(AT_HWCAP2) & 2)) { fputs("runner: the kernel does not allow WRFSBASE\n", stderr); return 2; }
  for (size_t i = 0; i < REGIONS; i++) map_region(&regions[i]);
  size_t length;
  input = current = read_all(&length);
  input_end = input + length;
  size_t room = length * 3 + (1 << 20);
  output = output_at = mmap(0, room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (output == MAP_FAILED) die("mmap");
  output_end = output + room;

  size_t stack_size = 256 * 1024;
  stack_t stack = { .ss_sp = malloc(stack_size), .ss_size = stack_size };
  if (sigaltstack(&stack, 0)) die("sigaltstack");
  struct sigaction action = { .sa_flags = SA_SIGINFO | SA_ONSTACK };
  action.sa_sigaction = entry;
  sigfillset(&action.sa_mask);
  const int signals[] = { SIGTRAP, SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGUSR1 };
  for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++) sigaction(signals[i], &action, 0);
  if (length) raise(SIGUSR1);
  __asm__ volatile("" ::: "memory"); // the handler wrote the outcomes

  for (const uint8_t *p = output; p < output_at;) {
    ssize_t sent = write(1, p, (size_t)(output_at - p));
    if (sent < 0) die("write");
    p += sent;
  }
  return 0;
}
