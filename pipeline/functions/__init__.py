"""The Dagger module: its main object and the objects that its functions return."""

from pipeline.functions.image import Image
from pipeline.functions.mlifecycle import Mlifecycle
from pipeline.functions.release import Release
from pipeline.functions.scan_report import Finding, ScanReport
from pipeline.functions.verdict import Verdict, Violation

__all__ = ["Finding", "Image", "Mlifecycle", "Release", "ScanReport", "Verdict", "Violation"]
