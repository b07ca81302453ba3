/* The calls of the CUDA runtime that the Jetson runtime makes, on the host's memory. */
#include <stdlib.h>
#include <string.h>

int cudaSetDevice(int device) { return device == 0 ? 0 : 101; }
int cudaMalloc(void **address, size_t size) { *address = malloc(size); return *address ? 0 : 2; }
int cudaMemcpy(void *target, const void *source, size_t size, int kind) {
    if (kind != 1 && kind != 2) return 21;
    memcpy(target, source, size);
    return 0;
}
int cudaGetDeviceProperties(void *properties, int device) {
    strcpy((char *)properties, "Stand-in Maxwell");
    return device == 0 ? 0 : 101;
}
int cudaDeviceGetAttribute(int *value, int attribute, int device) {
    if (device != 0) return 101;
    if (attribute == 75) { *value = 5; return 0; }
    if (attribute == 76) { *value = 3; return 0; }
    return 1;
}
const char *cudaGetErrorString(int status) { return status == 2 ? "out of memory" : "an error"; }
