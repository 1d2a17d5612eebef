// Runs a fuzz target on each file named on the command line, and on the empty input, once: what keeps the corpora true under
// gcc, where there is no libFuzzer. The input is an allocation of exactly its size, so that the sanitizer sees each octet too far.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv) __attribute__((weak));

static int run_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    if (!f || fseek(f, 0, SEEK_END) != 0) {
        perror(path);
        if (f)
            fclose(f);
        return -1;
    }
    long size = ftell(f);
    rewind(f);
    uint8_t *data = size >= 0 ? malloc(size > 0 ? (size_t)size : 1) : NULL;
    if (!data || fread(data, 1, (size_t)size, f) != (size_t)size) {
        perror(path);
        free(data);
        fclose(f);
        return -1;
    }
    fclose(f);
    uint8_t *exact = realloc(data, size > 0 ? (size_t)size : 1);
    fprintf(stderr, "running %s\n", path); // the last one named is the one that broke it
    LLVMFuzzerTestOneInput(exact ? exact : data, (size_t)size);
    free(exact ? exact : data);
    return 0;
}

int main(int argc, char **argv)
{
    if (LLVMFuzzerInitialize)
        LLVMFuzzerInitialize(&argc, &argv);
    uint8_t *none = malloc(1);
    if (!none)
        return 1;
    LLVMFuzzerTestOneInput(none, 0);
    free(none);
    for (int i = 1; i < argc; i++)
        if (run_file(argv[i]) != 0)
            return 1;
    printf("%d inputs\n", argc);
    return 0;
}
