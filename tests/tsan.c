/* What every program built with MODE=tsan says to ThreadSanitizer: the reviewed list tests/tsan.supp, whatever the environment.
 * A report makes the exit status 66, which is none of ours. */
const char *__tsan_default_suppressions(void);
const char *__tsan_default_options(void);

__asm__(".pushsection .rodata\n"
        "mc_tsan_supp:\n"
        ".incbin \"tests/tsan.supp\"\n"
        ".byte 0\n"
        ".popsection\n");
extern const char mc_tsan_supp[];

const char *__tsan_default_suppressions(void)
{
    return mc_tsan_supp;
}

const char *__tsan_default_options(void)
{
    return "exitcode=66:second_deadlock_stack=1";
}
