"""Pictures of people and rooms."""

import msgspec

from trinity.domain.ids import BlobId, UploadId


class Picture(msgspec.Struct, frozen=True, rename="camel"):
    """A picture that we made of somebody's file, in three sizes.

    Attributes:
        upload: the one that it came with; no other picture comes with it.
        small, medium, large: where it lies; small pictures may be the same file in all sizes.
    """

    upload: UploadId
    small: BlobId
    medium: BlobId
    large: BlobId

    @property
    def blobs(self) -> frozenset[BlobId]:
        """The files of all sizes."""
        return frozenset((self.small, self.medium, self.large))
