"""Classes by name or by import path."""

import importlib


def update_registry(registry, name, class_type):
    registry[name] = class_type


def get_or_load_class(class_name, registry):
    if class_name not in registry:
        module, _, name = class_name.rpartition(".")
        registry[class_name] = getattr(importlib.import_module(module), name)
    return registry[class_name]
