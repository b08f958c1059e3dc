"""iel-fairseq: interpretability-enhanced learning for fairseq."""

import re
from pathlib import Path

from setuptools import find_packages, setup

here = Path(__file__).parent
version = re.search(r'^__version__ = "(.+)"', (here / "iel_fairseq" / "version.py").read_text(), re.MULTILINE)

SERVE = ["flask>=3,<4", "waitress>=3,<4"]

setup(
    name="iel-fairseq",
    version=version[1],
    description="Interpretability-enhanced learning: append what a model looked at to its input, and fine-tune",
    long_description=(here / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="MIT",
    license_files=["LICENSE"],
    packages=find_packages(include=["iel_fairseq", "iel_fairseq.*"]),
    package_data={"iel_fairseq.web": ["templates/*.html"]},
    entry_points={"console_scripts": ["iel = iel_fairseq.cli:main"]},
    python_requires=">=3.11,<3.13",
    install_requires=[
        # fairseq 0.12.2 itself does not install on Python 3.11; this distribution has the same module, with wheels.
        "ve-fairseq==0.12.3",
        "hydra-core>=1.3.2,<1.4",
        "omegaconf>=2.3,<2.4",
        "lime>=0.2.0.1,<0.3",
        "matplotlib>=3.8,<4",
        "numpy>=2,<3",
        "packaging>=23,<27",
        "pydantic>=2.12,<3",
        "torch>=2.6,<2.14",
        "sacrebleu>=2.4,<3",
        "sacremoses>=0.1.1,<0.3",
        "scikit-learn>=1.4,<2",
        "scipy>=1.11,<2",
        "shap>=0.48,<0.52",
        "subword-nmt==0.3.8",
        "tqdm>=4.64,<5",
        "transformers>=5,<6",
    ],
    extras_require={
        "serve": SERVE,
        "dev": [
            *SERVE,
            "filelock>=3,<5",
            "hypothesis>=6.100,<7",
            "mypy>=1.13,<3",
            "pytest>=8,<10",
            "pytest-xdist>=3.6,<4",
            "pyyaml>=6,<7",
            "ruff>=0.8,<1",
            "selenium>=4,<5",
            "tensorboard>=2.16,<3",
            "wandb>=0.18,<1",
        ],
    },
)
