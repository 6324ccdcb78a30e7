"""`python -m imagesearch`: the command line."""

from imagesearch.cli.main import main

if __name__ == "__main__":
    main()
