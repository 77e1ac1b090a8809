"""Files of onnxruntime-web, which `ganforge export --web` copies."""
