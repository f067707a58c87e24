from setuptools import setup

setup(cffi_modules=["imsg/_core_build.py:ffibuilder"])
