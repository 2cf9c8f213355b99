"""A model of torch as an ONNX file. It runs where a release is built, and is no part of one."""
