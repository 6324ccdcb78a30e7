"""Natural-language image search: one pipeline in two editions, embedded and cloud.

Importing the package imports neither torch nor a cloud SDK; entry points live in `functions/`,
`inference_service/` and `imagesearch/local/`.
"""
