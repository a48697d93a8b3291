"""What exercises a rehearsed command: each driver visits it over loopback, and says what it is doing while it does."""

from airgap_check.drivers.diary import Diary, Entry, Remark
from airgap_check.drivers.driver import Driver, prepare
from airgap_check.drivers.where import Driven, Where

__all__ = ["Diary", "Driven", "Driver", "Entry", "Remark", "Where", "prepare"]
