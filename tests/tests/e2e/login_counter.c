/* A PKCS#11 module that passes everything on to the real one and writes a line for each C_Login.
 *
 * COUNTED_MODULE names the real module, LOGIN_COUNT the file. Built by the test that uses it. */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

typedef unsigned long ulong;
typedef ulong (*login_function)(ulong, ulong, unsigned char *, ulong);

/* PKCS#11 2.40, section 3.6: a version, then the functions in a fixed order; C_Login is the 19th. */
struct functions {
    unsigned char version[2];
    void *entry[68];
};
enum { LOGIN = 18 };

static struct functions counted;
static login_function real_login;

static ulong login(ulong session, ulong user, unsigned char *pin, ulong length) {
    FILE *file = fopen(getenv("LOGIN_COUNT"), "a");
    if (file != NULL) {
        fputs("C_Login\n", file);
        fclose(file);
    }
    return real_login(session, user, pin, length);
}

ulong C_GetFunctionList(struct functions **list) {
    void *module = dlopen(getenv("COUNTED_MODULE"), RTLD_NOW | RTLD_LOCAL);
    ulong (*get)(struct functions **) =
        module == NULL ? NULL : (ulong (*)(struct functions **))dlsym(module, "C_GetFunctionList");
    struct functions *real;
    if (get == NULL || get(&real) != 0) {
        return 5; /* CKR_GENERAL_ERROR */
    }
    counted = *real;
    real_login = (login_function)counted.entry[LOGIN];
    counted.entry[LOGIN] = (void *)login;
    *list = &counted;
    return 0;
}
