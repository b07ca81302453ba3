/* Stands in for NVIDIA's libraries while the Python bindings are imported: every entry point that
   they link to, returning null. Nothing can be built or run with it; names and signatures can be read. */
#define ENTRY(name) void *name(void) { return 0; }
ENTRY(createInferBuilder_INTERNAL)
ENTRY(createInferRefitter_INTERNAL)
ENTRY(createInferRuntime_INTERNAL)
ENTRY(createNvOnnxParserRefitter_INTERNAL)
ENTRY(createNvOnnxParser_INTERNAL)
ENTRY(getBuilderPluginRegistry)
ENTRY(getNvOnnxParserVersion)
ENTRY(getPluginRegistry)
ENTRY(initLibNvInferPlugins)
/* 8.6 alone: the parsers of Caffe and UFF. */
ENTRY(_ZN14nvcaffeparser117createCaffeParserEv)
ENTRY(_ZN14nvcaffeparser123shutdownProtobufLibraryEv)
ENTRY(_ZN11nvuffparser15createUffParserEv)
ENTRY(_ZN11nvuffparser8FieldMapC1EPKcPKvNS_9FieldTypeEi)
