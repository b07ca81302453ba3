/* A stand-in for NVIDIA's library, loaded by the real Python bindings. ENERGY and POWER are NVML
 * return codes: 0 success, 3 not supported. */
int nvmlInit_v2(void) { return 0; }
int nvmlInitWithFlags(unsigned int flags) { return 0; }
int nvmlShutdown(void) { return 0; }
int nvmlDeviceGetCount_v2(unsigned int *count) { *count = 2; return 0; }
int nvmlDeviceGetHandleByIndex_v2(unsigned int index, void **device) { *device = (void *)8; return 0; }
int nvmlDeviceGetName(void *device, char *name, unsigned int length) {
    const char *text = "Made-up card";
    unsigned int i = 0;
    for (; text[i] && i + 1 < length; i++) name[i] = text[i];
    name[i] = 0;
    return 0;
}
int nvmlDeviceGetTotalEnergyConsumption(void *device, unsigned long long *energy_mj) {
    static unsigned long long total;
    *energy_mj = total += 250;
    return ENERGY;
}
int nvmlDeviceGetPowerUsage(void *device, unsigned int *power_mw) { *power_mw = 31500; return POWER; }
const char *nvmlErrorString(int code) { return code == 3 ? "Not Supported" : "Unknown Error"; }
