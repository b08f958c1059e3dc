"""``python -m iel_fairseq.cli``: the command ``iel``, where it is not installed."""

from iel_fairseq.cli import main

if __name__ == "__main__":
    main()
