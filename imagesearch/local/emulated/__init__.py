"""The cloud edition on one machine, over emulators."""
